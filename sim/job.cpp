// C++ side of the harness (sim/harness.py): the bytes of the memory, the mirror of the activation memory, and the
// record of what happened. A job is a folder; sim/job.py writes its job.txt, memory.bin and inputs.bin, and reads
// results.bin. Integers in files are 64-bit little-endian.

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

constexpr unsigned COUNTER_BITS = 48;
constexpr uint64_t DONE = 1;
// Handed-out read data are dropped when there are this many of them.
constexpr uint64_t FETCHED_BYTES = 1 << 16;

struct Layer {
    uint64_t address, bytes;
};

struct Job {
    std::string folder;
    std::map<std::string, uint64_t> settings;
    std::vector<Layer> layers;
    std::vector<uint8_t> memory, inputs;
    FILE* results = nullptr;

    uint64_t bus_bytes, counters, trace_bytes, image = 0, read_bytes, write_bytes;
    // Data of accepted read requests, handed out from `fetched_used` on.
    std::vector<uint8_t> fetched;
    uint64_t fetched_used = 0;
    // Written data that wait for their write_done.
    std::vector<uint32_t> pending_addresses;
    std::vector<uint8_t> pending_data;
    // Mirror of the activation memory, and the layer that wrote each byte last, numbered over all images.
    std::vector<uint8_t> mirror;
    std::vector<uint32_t> writer;
    uint32_t layer_number = 1;
    uint64_t layers_done, stray, first_stray;
    std::vector<uint64_t> samples;
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

void sample(uint64_t cycle, const svBitVecVal* counters) {
    job.samples.push_back(cycle);
    for (uint64_t i = 0; i < job.counters; ++i) {
        uint64_t value = 0;
        std::memcpy(&value, reinterpret_cast<const uint8_t*>(counters) + i * COUNTER_BITS / 8, COUNTER_BITS / 8);
        job.samples.push_back(value);
    }
}

void append(std::vector<uint8_t>& target, const void* data, size_t bytes) {
    const uint8_t* first = static_cast<const uint8_t*>(data);
    target.insert(target.end(), first, first + bytes);
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
        if (key == "layer") {
            uint64_t bytes;
            file >> bytes;
            job.layers.push_back({value, bytes});
        } else {
            job.settings[key] = value;
        }
        if (!file) fail("bad value of " + key);
    }
    job.bus_bytes = job.settings.at("bus_bytes");
    job.counters = job.settings.at("counters");
    job.trace_bytes = job.settings.at("trace_bytes");
    job.memory = read_file(job.folder + "/memory.bin");
    job.memory.resize(job.settings.at("memory_bytes"));
    job.inputs = read_file(job.folder + "/inputs.bin");
    job.mirror.resize(job.settings.at("activation_bytes"));
    job.writer.resize(job.mirror.size());
    job.results = std::fopen((job.folder + "/results.bin").c_str(), "wb");
    if (!job.results) fail("cannot write " + job.folder + "/results.bin");
}

unsigned long long topcoat_setting(const char* name) {
    auto found = job.settings.find(name);
    if (found == job.settings.end()) fail(std::string("no setting ") + name);
    return found->second;
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

void topcoat_commit(unsigned int beats) {
    for (unsigned i = 0; i < beats; ++i) {
        uint64_t address = job.pending_addresses[i];
        if (address + job.bus_bytes <= job.memory.size())
            std::memcpy(&job.memory[address], &job.pending_data[i * job.bus_bytes], job.bus_bytes);
    }
    job.pending_addresses.erase(job.pending_addresses.begin(), job.pending_addresses.begin() + beats);
    job.pending_data.erase(job.pending_data.begin(), job.pending_data.begin() + beats * job.bus_bytes);
}

void topcoat_start() {
    const uint64_t bytes = job.settings.at("input_bytes");
    std::memcpy(&job.memory[job.settings.at("input_address")], &job.inputs[job.image * bytes], bytes);
    job.read_bytes = job.write_bytes = job.layers_done = job.stray = job.first_stray = 0;
    job.samples.clear();
    job.tensors.clear();
    ++job.layer_number;
}

void topcoat_layer_start(unsigned long long cycle, const svBitVecVal* counters) { sample(cycle, counters); }

void topcoat_trace(unsigned int address, const svBitVecVal* data, const svBitVecVal* mask) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(data);
    const uint32_t wrap = job.mirror.size() - 1;
    const Layer layer = job.layers_done < job.layers.size() ? job.layers[job.layers_done] : Layer{0, 0};
    for (uint64_t i = 0; i < job.trace_bytes; ++i) {
        if (!(mask[i / 32] >> i % 32 & 1)) continue;
        const uint32_t at = (address + i) & wrap;
        job.mirror[at] = bytes[i];
        job.writer[at] = job.layer_number;
        if (((at - layer.address) & wrap) >= layer.bytes && job.stray++ == 0) job.first_stray = at;
    }
}

// Record of a layer: cycle, bytes never written, bytes written outside its tensor and the first of those, whether the
// tensor and the map of written bytes follow, then those.
void topcoat_layer_done(unsigned long long cycle) {
    if (job.layers_done < job.layers.size()) {
        const Layer layer = job.layers[job.layers_done];
        const uint32_t wrap = job.mirror.size() - 1;
        uint64_t missing = 0;
        std::vector<uint8_t> tensor(layer.bytes), written(layer.bytes);
        for (uint64_t i = 0; i < layer.bytes; ++i) {
            const uint32_t at = (layer.address + i) & wrap;
            tensor[i] = job.mirror[at];
            written[i] = job.writer[at] == job.layer_number;
            missing += !written[i];
        }
        const uint64_t keep = job.settings.at("tensors");
        const uint64_t record[] = {cycle, missing, job.stray, job.first_stray, keep, keep && missing};
        append(job.tensors, record, sizeof record);
        if (keep) append(job.tensors, tensor.data(), tensor.size());
        if (keep && missing) append(job.tensors, written.data(), written.size());
    }
    ++job.layers_done;
    ++job.layer_number;
    job.stray = 0;
}

// Record of an image: header, samples of the counters (at each layer's start and at the end), layers, output region.
svBit topcoat_stop(unsigned int reason, unsigned long long cycle, unsigned int fault, unsigned int error,
                   unsigned int error_position, const svBitVecVal* counters) {
    sample(cycle, counters);
    const uint64_t header[] = {reason, cycle, fault, error, error_position, job.samples.size() / (job.counters + 1),
                               job.layers_done, job.read_bytes, job.write_bytes, job.stray, job.first_stray};
    const uint64_t output = job.settings.at("output_address"), bytes = job.settings.at("output_bytes");
    std::vector<uint8_t> record;
    append(record, header, sizeof header);
    append(record, job.samples.data(), job.samples.size() * sizeof(uint64_t));
    append(record, job.tensors.data(), job.tensors.size());
    append(record, &job.memory[output], bytes);
    if (std::fwrite(record.data(), 1, record.size(), job.results) != record.size() || std::fflush(job.results) != 0)
        fail("cannot write results.bin");
    ++job.image;
    return reason == DONE && job.image < job.settings.at("images");
}

}  // extern "C"
