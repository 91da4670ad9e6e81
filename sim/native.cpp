// Main loop of the native backend: clocks the Verilated harness until every run of the job has stopped.
// Arguments: +job=FOLDER, and +waves=FILE in a model built with --trace. Progress goes to standard output, a line
// `runs operations cycles` of totals every CHUNK cycles.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr int RESET_CYCLES = 4;
constexpr uint64_t CHUNK = 1 << 16;

class Clock {
public:
    Clock(VerilatedContext& context, Vtop& top) : m_context(context), m_top(top) {
#if VM_TRACE
        const std::string option = context.commandArgsPlusMatch("waves=");
        if (!option.empty()) {
            top.trace(&m_waves, 99);
            m_waves.open(option.c_str() + std::string("+waves=").size());
        }
#endif
    }

    void cycle() {
        m_top.clk = 0;
        step();
        m_top.clk = 1;
        step();
    }

private:
    void step() {
        m_top.eval();
        m_context.timeInc(1);
#if VM_TRACE
        if (m_waves.isOpen()) m_waves.dump(m_context.time());
#endif
    }

    VerilatedContext& m_context;
    Vtop& m_top;
#if VM_TRACE
    VerilatedVcdC m_waves;
#endif
};

}  // namespace

int main(int argc, char** argv) {
    auto context = std::make_unique<VerilatedContext>();
    context->commandArgs(argc, argv);
    context->traceEverOn(VM_TRACE);
    auto top = std::make_unique<Vtop>(context.get());
    Clock clock(*context, *top);

    top->rst = 1;
    for (int i = 0; i < RESET_CYCLES; ++i) clock.cycle();
    top->rst = 0;

    uint64_t runs = 0, operations = 0, cycles = 0;
    do {
        top->start = 1;
        clock.cycle();
        top->start = 0;
        do {
            for (uint64_t i = 0; i < CHUNK && !top->stopped; ++i) clock.cycle();
            if (!top->stopped) {
                std::printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", runs, operations + top->operation,
                            cycles + top->cycle);
                std::fflush(stdout);
            }
        } while (!top->stopped);
        ++runs;
        operations += top->operation;
        cycles += top->cycle;
        // The idle cycle in which cocotb looks at `more`, so that every run starts in the same cycle there and here.
        clock.cycle();
    } while (top->more);
    top->final();
    return 0;
}
