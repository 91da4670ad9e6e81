// C++ side of the harness (sim/harness.py): the bytes of the memory, what the program is to move, the tensors that the
// operations write, and the record of what happened. A job is a folder; sim/job.py writes its job.txt, memory.bin,
// inputs.bin and transfers.bin, and reads results.bin. Integers in files are 64-bit little-endian.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "svdpi.h"

namespace {

constexpr uint64_t DONE = 1;
// Handed-out read data are dropped when there are this many of them.
constexpr uint64_t FETCHED_BYTES = 1 << 16;

// One LAYER operation: where it writes, and which layer it belongs to.
struct Operation {
    uint64_t address, bytes;
};

// One contiguous run of addresses that a stream moves.
struct Transfer {
    uint64_t address, bytes, layer;
};

// The transfers of one stream, made in this order.
struct Stream {
    bool write;
    std::vector<Transfer> transfers;
    size_t next;
    uint64_t moved;  // bytes of transfers[next]
};

struct Job {
    std::string folder;
    std::map<std::string, uint64_t> settings;
    std::vector<Operation> operations;
    std::vector<Stream> streams;
    std::vector<uint8_t> memory, inputs;
    FILE* results = nullptr;

    uint64_t bus_bytes, trace_bytes, layers, run = 0, read_bytes, write_bytes;
    uint32_t activation_mask;
    // Data of accepted read requests, handed out from `fetched_used` on.
    std::vector<uint8_t> fetched;
    uint64_t fetched_used = 0;
    // Written data that wait for their write_done.
    std::vector<uint32_t> pending_addresses;
    std::vector<uint8_t> pending_data;
    // What the current operation has written, and whether it has written it.
    std::vector<uint8_t> tensor, written;
    uint64_t operations_done, stray, first_stray;
    // Bytes by (layer, stream); the row behind the last layer's is of no layer.
    std::vector<uint64_t> moved;
    std::vector<uint64_t> samples;
    uint64_t sample_count;
    std::vector<uint8_t> tensors;
};

Job job;

[[noreturn]] void fail(const std::string& message) {
    std::fprintf(stderr, "job: %s\n", message.c_str());
    std::exit(2);
}

std::vector<uint8_t> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

void append(std::vector<uint8_t>& target, const void* data, size_t bytes) {
    const uint8_t* first = static_cast<const uint8_t*>(data);
    target.insert(target.end(), first, first + bytes);
}

void begin_operation() {
    const size_t bytes = job.operations_done < job.operations.size() ? job.operations[job.operations_done].bytes : 0;
    job.tensor.assign(bytes, 0);
    job.written.assign(bytes, 0);
    job.stray = job.first_stray = 0;
}

void read_transfers(const std::string& path) {
    const std::vector<uint8_t> data = read_file(path);
    job.streams.resize(job.settings.at("streams"));
    job.streams.back().write = true;
    for (size_t at = 0; at < data.size(); at += sizeof(uint64_t) * 4) {
        std::array<uint64_t, 4> entry;
        std::memcpy(entry.data(), &data[at], sizeof entry);
        job.streams.at(entry[0]).transfers.push_back({entry[1], entry[2], entry[3]});
    }
}

// Books a burst on the stream if that is what it does next.
bool advance(Stream& stream, size_t index, uint64_t address, uint64_t bytes) {
    size_t next = stream.next;
    uint64_t moved = stream.moved, left = bytes;
    for (uint64_t at = address; left > 0;) {
        if (next == stream.transfers.size() || stream.transfers[next].address + moved != at) return false;
        const uint64_t part = std::min(left, stream.transfers[next].bytes - moved);
        at += part;
        left -= part;
        moved += part;
        if (moved == stream.transfers[next].bytes) {
            ++next;
            moved = 0;
        }
    }
    for (left = bytes; left > 0;) {
        const Transfer& transfer = stream.transfers[stream.next];
        const uint64_t part = std::min(left, transfer.bytes - stream.moved);
        job.moved[transfer.layer * job.streams.size() + index] += part;
        left -= part;
        stream.moved += part;
        if (stream.moved == transfer.bytes) {
            ++stream.next;
            stream.moved = 0;
        }
    }
    return true;
}

}  // namespace

extern "C" {

void topcoat_open(const char* folder) {
    job.folder = folder;
    std::ifstream file(job.folder + "/job.txt");
    if (!file) fail("cannot read " + job.folder + "/job.txt");
    std::string key;
    while (file >> key) {
        uint64_t value;
        file >> value;
        if (key == "operation") {
            uint64_t bytes;
            file >> bytes;
            job.operations.push_back({value, bytes});
        } else {
            job.settings[key] = value;
        }
        if (!file) fail("bad value of " + key);
    }
    job.bus_bytes = job.settings.at("bus_bytes");
    job.trace_bytes = job.settings.at("trace_bytes");
    job.layers = job.settings.at("layers");
    job.activation_mask = job.settings.at("activation_bytes") - 1;
    job.memory = read_file(job.folder + "/memory.bin");
    job.memory.resize(job.settings.at("memory_bytes"));
    job.inputs = read_file(job.folder + "/inputs.bin");
    read_transfers(job.folder + "/transfers.bin");
    job.results = std::fopen((job.folder + "/results.bin").c_str(), "wb");
    if (!job.results) fail("cannot write " + job.folder + "/results.bin");
}

unsigned long long topcoat_setting(const char* name) {
    auto found = job.settings.find(name);
    if (found == job.settings.end()) fail(std::string("no setting ") + name);
    return found->second;
}

// Whether the program, if its transfers are known, does not make this burst next.
svBit topcoat_expect(svBit write, unsigned int address, unsigned int beats) {
    const uint64_t bytes = beats * job.bus_bytes;
    bool any = false;
    for (size_t i = 0; i < job.streams.size(); ++i) {
        any |= !job.streams[i].transfers.empty();
        if (job.streams[i].write == static_cast<bool>(write) && advance(job.streams[i], i, address, bytes)) return 0;
    }
    return any;
}

void topcoat_fetch(unsigned int address, unsigned int beats) {
    const uint64_t bytes = beats * job.bus_bytes;
    if (job.fetched_used >= FETCHED_BYTES) {
        job.fetched.erase(job.fetched.begin(), job.fetched.begin() + job.fetched_used);
        job.fetched_used = 0;
    }
    if (address + bytes <= job.memory.size()) append(job.fetched, &job.memory[address], bytes);
    else job.fetched.resize(job.fetched.size() + bytes);
}

void topcoat_read(svBitVecVal* beat) {
    std::memcpy(beat, &job.fetched[job.fetched_used], job.bus_bytes);
    job.fetched_used += job.bus_bytes;
    job.read_bytes += job.bus_bytes;
}

void topcoat_write(unsigned int address, const svBitVecVal* beat) {
    job.write_bytes += job.bus_bytes;
    job.pending_addresses.push_back(address);
    append(job.pending_data, beat, job.bus_bytes);
}

void topcoat_commit(unsigned int beats, svBit lost) {
    for (unsigned i = 0; i < beats && !lost; ++i) {
        uint64_t address = job.pending_addresses[i];
        if (address + job.bus_bytes <= job.memory.size())
            std::memcpy(&job.memory[address], &job.pending_data[i * job.bus_bytes], job.bus_bytes);
    }
    job.pending_addresses.erase(job.pending_addresses.begin(), job.pending_addresses.begin() + beats);
    job.pending_data.erase(job.pending_data.begin(), job.pending_data.begin() + beats * job.bus_bytes);
}

// The memory forgets what it was asked for.
void topcoat_reset() {
    job.fetched.clear();
    job.fetched_used = 0;
    job.pending_addresses.clear();
    job.pending_data.clear();
}

void topcoat_start() {
    const uint64_t bytes = job.settings.at("input_bytes");
    std::memcpy(&job.memory[job.settings.at("input_address")], &job.inputs[job.run * bytes], bytes);
    job.read_bytes = job.write_bytes = job.operations_done = job.sample_count = 0;
    job.samples.clear();
    job.tensors.clear();
    job.moved.assign((job.layers + 1) * job.streams.size(), 0);
    for (Stream& stream : job.streams) stream.next = stream.moved = 0;
    begin_operation();
}

// A sample is a cycle and, in as many calls of topcoat_counter, every counter.
void topcoat_sample(unsigned long long cycle) {
    ++job.sample_count;
    job.samples.push_back(cycle);
}

void topcoat_counter(unsigned long long value) { job.samples.push_back(value); }

void topcoat_trace(unsigned int address, const svBitVecVal* data, const svBitVecVal* mask) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(data);
    const uint64_t current = job.operations_done;
    const uint32_t first = current < job.operations.size() ? job.operations[current].address : 0;
    for (uint64_t i = 0; i < job.trace_bytes; ++i) {
        if (!(mask[i / 32] >> i % 32 & 1)) continue;
        const uint32_t offset = (address + i - first) & job.activation_mask;
        if (offset < job.tensor.size()) {
            job.tensor[offset] = bytes[i];
            job.written[offset] = 1;
        } else if (job.stray++ == 0) {
            job.first_stray = (address + i) & job.activation_mask;
        }
    }
}

// Record of an operation: cycle, bytes never written, bytes written outside its tensor and the first of those, whether
// the tensor and the map of written bytes follow, then those.
void topcoat_layer_done(unsigned long long cycle) {
    if (job.operations_done < job.operations.size()) {
        uint64_t missing = 0;
        for (uint8_t written : job.written) missing += !written;
        const uint64_t keep = job.settings.at("tensors");
        const uint64_t record[] = {cycle, missing, job.stray, job.first_stray, keep, keep && missing};
        append(job.tensors, record, sizeof record);
        if (keep) append(job.tensors, job.tensor.data(), job.tensor.size());
        if (keep && missing) append(job.tensors, job.written.data(), job.written.size());
    }
    ++job.operations_done;
    begin_operation();
}

// Record of a run: header, samples of the counters (at each operation's start and at the end), bytes by layer and
// stream, operations, output region. The last sample has been taken.
svBit topcoat_stop(unsigned int reason, unsigned long long cycle, unsigned int fault,
                   unsigned int fault_address, unsigned int error, unsigned int error_position,
                   unsigned int error_segment) {
    const uint64_t header[] = {reason, cycle, fault, fault_address, error, error_position, error_segment,
                               job.sample_count, job.operations_done, job.read_bytes, job.write_bytes, job.stray,
                               job.first_stray};
    const uint64_t output = job.settings.at("output_address"), bytes = job.settings.at("output_bytes");
    std::vector<uint8_t> record;
    append(record, header, sizeof header);
    append(record, job.samples.data(), job.samples.size() * sizeof(uint64_t));
    append(record, job.moved.data(), job.moved.size() * sizeof(uint64_t));
    append(record, job.tensors.data(), job.tensors.size());
    append(record, &job.memory[output], bytes);
    if (std::fwrite(record.data(), 1, record.size(), job.results) != record.size() || std::fflush(job.results) != 0)
        fail("cannot write results.bin");
    ++job.run;
    return reason == DONE && job.run < job.settings.at("runs");
}

}  // extern "C"
