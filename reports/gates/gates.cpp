// Event-driven simulation of a netlist of standard cells, with a delay per cell and the energy of every transition.
// Arguments: NETLIST STIMULUS ENERGY. reports/gates/netlist.py writes the netlist, as numbers; reports/gates/simulate.py
// says what the other files hold.
//
// A gate that changes its mind before its delay is over makes no transition (inertial delay). Clock edges are ideal and
// far enough apart that all nets settle; inputs and read data change when most flip-flops do.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string& message) {
    std::cerr << message << "\n";
    std::exit(1);
}

template <typename T>
T read(std::istream& in) {
    T value;
    if (!(in >> value)) fail("netlist: too short");
    return value;
}

std::vector<int> read_nets(std::istream& in) {
    std::vector<int> nets(read<size_t>(in));
    for (int& net : nets) net = read<int>(in);
    return nets;
}

constexpr size_t MOST_INPUTS = 6;

struct Gate {
    // Of fewer inputs the rest are net 0, which is 0.
    std::array<int, MOST_INPUTS> inputs{};
    int output, delay;
    uint64_t truth;
    // An output on its way: its value, and which event brings it.
    bool waiting = false, coming = false;
    uint32_t stamp = 0;
};

struct Flop {
    std::vector<int> inputs;
    std::vector<bool> next;
    // Nets that show the state, or its inverse; and the energy of a change besides theirs.
    std::vector<int> same, inverse;
    int delay;
    double energy;
    bool state;
};

struct Memory {
    bool registered;
    std::vector<int> read_enable, read_address, read_data, write_enable, write_address, write_data;
    std::vector<std::vector<bool>> words;
};

// What changes at a time: a gate's output (`gate` >= 0), or `net` by itself.
struct Event {
    int gate, net;
    bool value;
    uint32_t stamp;
};

class Simulation {
public:
    explicit Simulation(std::istream& in) {
        m_arrival = read<int>(in);
        m_value.resize(read<size_t>(in));
        m_odd.resize(m_value.size());
        m_value[1] = true;
        m_energy.resize(m_value.size());
        for (double& energy : m_energy) energy = read<double>(in);
        m_readers.resize(m_value.size());
        m_memory_readers.resize(m_value.size());
        m_inputs = read_nets(in);
        m_outputs = read_nets(in);
        int longest = m_arrival;
        m_gates.resize(read<size_t>(in));
        for (size_t index = 0; index < m_gates.size(); ++index) {
            Gate& gate = m_gates[index];
            gate.delay = read<int>(in);
            longest = std::max(longest, gate.delay);
            gate.output = read<int>(in);
            const std::vector<int> nets = read_nets(in);
            if (nets.size() > MOST_INPUTS) fail("netlist: a gate of too many inputs");
            std::copy(nets.begin(), nets.end(), gate.inputs.begin());
            const std::vector<bool> truth = read_truth(in, nets.size());
            gate.truth = 0;
            for (size_t row = 0; row < truth.size(); ++row) gate.truth |= uint64_t(truth[row]) << row;
            for (int net : nets) m_readers[net].push_back(index);
        }
        m_flops.resize(read<size_t>(in));
        for (Flop& flop : m_flops) {
            flop.delay = read<int>(in);
            longest = std::max(longest, flop.delay);
            flop.energy = read<double>(in);
            flop.inputs = read_nets(in);
            flop.next = read_truth(in, flop.inputs.size() + 1);
            flop.same = read_nets(in);
            flop.inverse = read_nets(in);
            flop.state = flop.next[0];
        }
        m_memories.resize(read<size_t>(in));
        for (size_t index = 0; index < m_memories.size(); ++index) {
            Memory& memory = m_memories[index];
            memory.registered = read<int>(in);
            const size_t depth = read<size_t>(in);
            for (auto* nets : {&memory.read_enable, &memory.read_address, &memory.read_data, &memory.write_enable,
                               &memory.write_address, &memory.write_data}) *nets = read_nets(in);
            memory.words.assign(depth, std::vector<bool>(memory.read_data.size()));
            if (!memory.registered)
                for (int net : memory.read_address) m_memory_readers[net].push_back(index);
        }
        size_t slots = 1;
        while (slots <= static_cast<size_t>(longest)) slots *= 2;
        m_wheel.resize(slots);
        // Consistent before the first cycle, whatever it takes.
        for (Flop& flop : m_flops) show(flop);
        for (size_t index = 0; index < m_gates.size(); ++index) evaluate(index);
        settle();
        std::fill(m_odd.begin(), m_odd.end(), false);
    }

    size_t inputs() const { return m_inputs.size(); }
    size_t outputs() const { return m_outputs.size(); }

    // One cycle: inputs come, everything settles. Energies of all transitions, and of those that last.
    std::pair<double, double> cycle(const uint8_t* inputs) {
        m_spent = 0;
        m_changed.clear();
        for (size_t index = 0; index < m_inputs.size(); ++index) post(m_inputs[index], bit(inputs, index));
        settle();
        double lasting = 0;
        for (int net : m_changed) {
            // Here as often as it has changed: an odd number of times if that lasts.
            if (m_odd[net]) lasting += m_energy[net];
            m_odd[net] = false;
        }
        return {m_spent + m_flop_energy, lasting + m_flop_energy};
    }

    // The first output that differs from `expected`, or -1.
    int difference(const uint8_t* expected) const {
        for (size_t index = 0; index < m_outputs.size(); ++index)
            if (m_value[m_outputs[index]] != bit(expected, index)) return index;
        return -1;
    }

    void edge() {
        m_flop_energy = 0;
        std::vector<bool> states(m_flops.size());
        for (size_t index = 0; index < m_flops.size(); ++index) {
            const Flop& flop = m_flops[index];
            states[index] = flop.next[row(flop.inputs) | size_t(flop.state) << flop.inputs.size()];
        }
        for (Memory& memory : m_memories) {
            if (memory.registered && (memory.read_enable.empty() || m_value[memory.read_enable[0]])) fetch(memory);
            const size_t address = row(memory.write_address);
            for (size_t column = 0; column < memory.write_data.size(); ++column)
                if (m_value[memory.write_enable[column]] && address < memory.words.size())
                    memory.words[address][column] = m_value[memory.write_data[column]];
        }
        for (size_t index = 0; index < m_flops.size(); ++index) {
            Flop& flop = m_flops[index];
            if (flop.state == states[index]) continue;
            flop.state = states[index];
            m_flop_energy += flop.energy;
            show(flop);
        }
        for (Memory& memory : m_memories)
            if (!memory.registered) fetch(memory);
    }

private:
    static bool bit(const uint8_t* bytes, size_t index) { return bytes[index / 8] >> index % 8 & 1; }

    static std::vector<bool> read_truth(std::istream& in, size_t inputs) {
        const std::string text = read<std::string>(in);
        if (text.size() != size_t(1) << inputs) fail("netlist: a truth table of the wrong size");
        std::vector<bool> truth;
        for (char letter : text) truth.push_back(letter == '1');
        return truth;
    }

    size_t row(const std::vector<int>& nets) const {
        size_t value = 0;
        for (size_t index = 0; index < nets.size(); ++index) value |= size_t(m_value[nets[index]]) << index;
        return value;
    }

    void at(int delay, Event event) {
        m_wheel[(m_now + delay) & (m_wheel.size() - 1)].push_back(event);
        ++m_events;
    }

    void post(int net, bool value) { at(m_arrival, {-1, net, value, 0}); }

    void show(const Flop& flop) {
        for (int net : flop.same) at(flop.delay, {-1, net, flop.state, 0});
        for (int net : flop.inverse) at(flop.delay, {-1, net, !flop.state, 0});
    }

    void fetch(const Memory& memory) {
        const size_t address = row(memory.read_address);
        for (size_t column = 0; column < memory.read_data.size(); ++column)
            post(memory.read_data[column], address < memory.words.size() && memory.words[address][column]);
    }

    void evaluate(int index) {
        Gate& gate = m_gates[index];
        size_t row = 0;
        for (size_t index = 0; index < MOST_INPUTS; ++index) row |= size_t(m_value[gate.inputs[index]]) << index;
        const bool value = gate.truth >> row & 1;
        if (gate.waiting) {
            if (value == gate.coming) return;
            gate.waiting = false;
            ++gate.stamp;
        }
        if (value == m_value[gate.output]) return;
        gate.waiting = true;
        gate.coming = value;
        at(gate.delay, {index, gate.output, value, gate.stamp});
    }

    void settle() {
        std::vector<Event> events;
        std::vector<int> gates;
        for (uint64_t end = m_now + LONGEST; m_events; ++m_now) {
            if (m_now == end) fail("the netlist does not settle: it has a loop");
            events.swap(m_wheel[m_now & (m_wheel.size() - 1)]);
            if (events.empty()) continue;
            m_events -= events.size();
            gates.clear();
            // All that changes at this time has changed before the gates that see it look.
            for (const Event& event : events) {
                if (event.gate >= 0) {
                    Gate& gate = m_gates[event.gate];
                    if (!gate.waiting || gate.stamp != event.stamp) continue;
                    gate.waiting = false;
                    ++gate.stamp;
                }
                if (m_value[event.net] == event.value) continue;
                m_value[event.net] = event.value;
                m_spent += m_energy[event.net];
                m_odd[event.net] = !m_odd[event.net];
                m_changed.push_back(event.net);
                gates.insert(gates.end(), m_readers[event.net].begin(), m_readers[event.net].end());
                for (int memory : m_memory_readers[event.net]) fetch(m_memories[memory]);
            }
            for (int gate : gates) evaluate(gate);
            events.clear();
        }
    }

    // More than any path takes.
    static constexpr uint64_t LONGEST = 10'000'000;

    int m_arrival;
    std::vector<char> m_value, m_odd;
    std::vector<int> m_changed;
    std::vector<double> m_energy;
    std::vector<std::vector<int>> m_readers, m_memory_readers;
    std::vector<int> m_inputs, m_outputs;
    std::vector<Gate> m_gates;
    std::vector<Flop> m_flops;
    std::vector<Memory> m_memories;
    std::vector<std::vector<Event>> m_wheel;
    uint64_t m_now = 0, m_events = 0;
    double m_spent = 0, m_flop_energy = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) fail("arguments must be NETLIST STIMULUS ENERGY");
    std::ifstream netlist(argv[1]), stimulus(argv[2], std::ios::binary);
    std::ofstream result(argv[3], std::ios::binary);
    if (!netlist || !stimulus || !result) fail("cannot open a file");
    Simulation simulation(netlist);
    // Of a cycle: whether its outputs are to be compared, inputs, outputs.
    const size_t outputs_at = 1 + (simulation.inputs() + 7) / 8;
    std::vector<char> record(outputs_at + (simulation.outputs() + 7) / 8);
    for (uint64_t cycle = 0; stimulus.read(record.data(), record.size()); ++cycle) {
        const auto* bytes = reinterpret_cast<const uint8_t*>(record.data());
        const auto [spent, lasting] = simulation.cycle(bytes + 1);
        const int difference = bytes[0] ? simulation.difference(bytes + outputs_at) : -1;
        if (difference >= 0) fail("output " + std::to_string(difference) + " is wrong in cycle " + std::to_string(cycle));
        const double energies[] = {spent, lasting};
        result.write(reinterpret_cast<const char*>(energies), sizeof energies);
        simulation.edge();
    }
    return 0;
}
