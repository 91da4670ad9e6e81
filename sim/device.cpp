// A simulated board: the Verilated accelerator (hw/accelerator.py) with a memory on its AXI4 port, as a library with the C
// interface below. sim/device.py calls it, and C programs that are linked against it do.
//
// The clock runs only inside of calls. The memory is ideal: it takes every request at once, its first beat of data is
// there in the next cycle, beats follow each other without a gap. A burst that leaves it or begins between two beats is
// answered SLVERR.

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

// Verilator writes the second of two underscores as a code.
#define M_AXI(name) m_top->m_axi___05F##name
#define S_AXIL(name) m_top->s_axil___05F##name

namespace {

constexpr int RESET_CYCLES = 4;
constexpr uint8_t OKAY = 0, SLVERR = 2;

struct Burst {
    uint64_t address;
    unsigned beats;
};

class Device {
public:
    Device(uint32_t address, uint32_t bytes)
        : m_address(address), m_memory(bytes), m_context(std::make_unique<VerilatedContext>()),
          m_top(std::make_unique<Vtop>(m_context.get())) {
        m_top->rst = 1;
        for (int i = 0; i < RESET_CYCLES; ++i) cycle();
        m_top->rst = 0;
        M_AXI(arready) = M_AXI(awready) = M_AXI(wready) = 1;
    }

    ~Device() { m_top->final(); }

    uint8_t* memory() { return m_memory.data(); }

    int read(uint32_t offset, uint32_t* value) {
        S_AXIL(araddr) = offset;
        S_AXIL(arvalid) = S_AXIL(rready) = 1;
        for (bool answered = false; !answered;) {
            const bool accepted = S_AXIL(arvalid) && S_AXIL(arready);
            answered = S_AXIL(rvalid);
            *value = S_AXIL(rdata);
            m_response = S_AXIL(rresp);
            cycle();
            if (accepted) S_AXIL(arvalid) = 0;
        }
        S_AXIL(rready) = 0;
        return m_response;
    }

    int write(uint32_t offset, uint32_t value) {
        S_AXIL(awaddr) = offset;
        S_AXIL(wdata) = value;
        S_AXIL(wstrb) = 0xF;
        S_AXIL(awvalid) = S_AXIL(wvalid) = S_AXIL(bready) = 1;
        for (bool answered = false; !answered;) {
            const bool address_accepted = S_AXIL(awvalid) && S_AXIL(awready);
            const bool data_accepted = S_AXIL(wvalid) && S_AXIL(wready);
            answered = S_AXIL(bvalid);
            m_response = S_AXIL(bresp);
            cycle();
            if (address_accepted) S_AXIL(awvalid) = 0;
            if (data_accepted) S_AXIL(wvalid) = 0;
        }
        S_AXIL(bready) = 0;
        return m_response;
    }

    int wait(uint32_t cycles) {
        for (uint32_t i = 0; i < cycles && !m_top->irq; ++i) cycle();
        return m_top->irq;
    }

private:
    /** A cycle with the inputs as they are. Outputs come from registers: none hangs on an input. */
    void cycle() {
        m_top->clk = 0;
        m_top->eval();
        takeHandshakes();
        m_top->clk = 1;
        m_top->eval();
        offer();
    }

    void takeHandshakes() {
        if (M_AXI(arvalid) && M_AXI(arready)) m_reads.push_back({M_AXI(araddr), M_AXI(arlen) + 1u});
        if (M_AXI(rvalid) && M_AXI(rready)) {
            Burst& burst = m_reads.front();
            burst.address += BEAT;
            if (--burst.beats == 0) m_reads.pop_front();
        }
        if (M_AXI(awvalid) && M_AXI(awready)) m_writes.push_back({M_AXI(awaddr), M_AXI(awlen) + 1u});
        if (M_AXI(wvalid) && M_AXI(wready)) {
            m_beats.emplace_back();
            std::memcpy(m_beats.back().data, &M_AXI(wdata), BEAT);
            std::memcpy(m_beats.back().strobes, &M_AXI(wstrb), sizeof m_beats.back().strobes);
        }
        if (M_AXI(bvalid) && M_AXI(bready)) m_responses.pop_front();
        // Data may come before their address.
        while (!m_writes.empty() && !m_beats.empty()) store();
    }

    void store() {
        Burst& burst = m_writes.front();
        const Beat& beat = m_beats.front();
        uint8_t* place = at(burst.address);
        if (place == nullptr) m_write_response = SLVERR;
        for (size_t i = 0; place != nullptr && i < BEAT; ++i)
            if (beat.strobes[i / 8] >> i % 8 & 1) place[i] = beat.data[i];
        m_beats.pop_front();
        burst.address += BEAT;
        if (--burst.beats != 0) return;
        m_writes.pop_front();
        m_responses.push_back(m_write_response);
        m_write_response = OKAY;
    }

    void offer() {
        M_AXI(rvalid) = !m_reads.empty();
        if (!m_reads.empty()) {
            const uint8_t* place = at(m_reads.front().address);
            M_AXI(rresp) = place == nullptr ? SLVERR : OKAY;
            M_AXI(rlast) = m_reads.front().beats == 1;
            if (place != nullptr) std::memcpy(&M_AXI(rdata), place, BEAT);
        }
        M_AXI(bvalid) = !m_responses.empty();
        if (!m_responses.empty()) M_AXI(bresp) = m_responses.front();
    }

    /** The memory's bytes of a beat, or null. */
    uint8_t* at(uint64_t address) {
        if (address % BEAT != 0 || address < m_address || address + BEAT > m_address + m_memory.size()) return nullptr;
        return m_memory.data() + (address - m_address);
    }

    static constexpr size_t BEAT = sizeof(Vtop::m_axi___05Frdata);

    struct Beat {
        uint8_t data[BEAT];
        uint8_t strobes[(BEAT + 7) / 8];
    };

    uint64_t m_address;
    std::vector<uint8_t> m_memory;
    std::unique_ptr<VerilatedContext> m_context;
    std::unique_ptr<Vtop> m_top;
    std::deque<Burst> m_reads, m_writes;
    std::deque<Beat> m_beats;
    std::deque<uint8_t> m_responses;
    uint8_t m_write_response = OKAY, m_response = OKAY;
};

}  // namespace

extern "C" {

/** A board after reset, with `bytes` bytes of zeros from `address` on as its memory. */
void* topcoat_board_open(uint32_t address, uint32_t bytes) { return new Device(address, bytes); }

void topcoat_board_close(void* board) { delete static_cast<Device*>(board); }

/** Its memory, to read and write at any time. */
uint8_t* topcoat_board_memory(void* board) { return static_cast<Device*>(board)->memory(); }

/** Reads a register. Returns the response, 0 if all is well. */
int topcoat_board_read(void* board, uint32_t offset, uint32_t* value) {
    return static_cast<Device*>(board)->read(offset, value);
}

/** Writes a register. Returns the response. */
int topcoat_board_write(void* board, uint32_t offset, uint32_t value) {
    return static_cast<Device*>(board)->write(offset, value);
}

/** Lets at most `cycles` cycles pass, fewer if there is an interrupt. Returns whether there is one. */
int topcoat_board_wait(void* board, uint32_t cycles) { return static_cast<Device*>(board)->wait(cycles); }

}  // extern "C"
