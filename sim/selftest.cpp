// Main loop for a self-test (hw/selftest.py): prints what its board would show, a line per event.
//
//     CYCLE led LEVEL     the LED of the verdict has changed
//     CYCLE alive LEVEL   the LED of the clock has changed
//     CYCLE line TEXT     a line has left the serial line, without its end
//
// Arguments: the cycles of a bit, cycles to simulate after the reset, and any number of pairs of a word of the program's
// memory, or behind those of the expected results, and what is added to it.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

namespace {

constexpr int RESET_CYCLES = 4;

/** A receiver of 8N1. */
class Receiver {
public:
    explicit Receiver(uint64_t bit) : m_bit(bit) {}

    /** The line in one cycle. Returns whether a byte has ended with it; a stop bit that is low makes it a zero. */
    bool sample(bool line) {
        if (m_age == 0 && line) return false;
        // The middle of the start bit, of 8 data bits and of the stop bit.
        const bool middle = m_age++ % m_bit == m_bit / 2;
        if (!middle) return false;
        m_frame = m_frame >> 1 | line << 9;
        if (m_age <= 9 * m_bit) return false;
        m_age = 0;
        m_byte = line ? m_frame >> 1 & 0xFF : 0;
        return true;
    }

    char byte() const { return char(m_byte); }

private:
    uint64_t m_bit, m_age = 0;
    unsigned m_frame = 0, m_byte = 0;
};

}  // namespace

int main(int argc, char** argv) {
    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vtop>(context.get());
    auto cycle = [&] {
        top->clk = 0;
        top->eval();
        top->clk = 1;
        top->eval();
    };
    Receiver receiver(std::strtoull(argv[1], nullptr, 0));
    const uint64_t cycles = std::strtoull(argv[2], nullptr, 0);

    top->rst = 1;
    for (int i = 0; i < RESET_CYCLES; ++i) cycle();
    auto& words = top->rootp->topcoat_self_test__DOT__memory__DOT__words;
    auto& expected = top->rootp->topcoat_self_test__DOT__expected;
    for (int i = 3; i + 1 < argc; i += 2) {
        const size_t index = std::strtoull(argv[i], nullptr, 0);
        const uint64_t change = std::strtoull(argv[i + 1], nullptr, 0);
        (index < std::size(words) ? words[index] : expected[index - std::size(words)]) += change;
    }
    top->rst = 0;

    bool led = false, alive = false;
    std::string text;
    for (uint64_t now = 0; now < cycles; ++now) {
        cycle();
        if (top->led != led) {
            led = top->led;
            std::printf("%" PRIu64 " led %d\n", now, led);
        }
        if (top->alive != alive) {
            alive = top->alive;
            std::printf("%" PRIu64 " alive %d\n", now, alive);
        }
        if (!receiver.sample(top->uart)) continue;
        if (receiver.byte() != '\n') {
            text += receiver.byte();
            continue;
        }
        std::printf("%" PRIu64 " line %s\n", now, text.c_str());
        text.clear();
    }
    top->final();
    return 0;
}
