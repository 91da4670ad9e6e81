// Main loop of the bare-array benchmark (sim/bench.py). Argument: cycles. Prints the processor seconds they took
// and a digest of the sums.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "Vtop.h"
#include "verilated.h"

int main(int argc, char** argv) {
    const uint64_t cycles = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 0;
    auto top = std::make_unique<Vtop>();
    const auto cycle = [&] {
        top->clk = 0;
        top->eval();
        top->clk = 1;
        top->eval();
    };
    top->rst = 1;
    for (int i = 0; i < 4; ++i) cycle();
    top->rst = 0;
    const std::clock_t start = std::clock();
    for (uint64_t i = 0; i < cycles; ++i) cycle();
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%.6f %u\n", seconds, static_cast<unsigned>(top->digest));
    return 0;
}
