/*
 * The C driver on a simulated board (sim/device.cpp), run by test_c.py. Arguments: program file, input, where the output
 * goes, and the offsets of counters, which are printed after a good run.
 */

#include <stdio.h>
#include <stdlib.h>

#include "topcoat.h"

void *topcoat_board_open(uint32_t address, uint32_t bytes);
void topcoat_board_close(void *board);
uint8_t *topcoat_board_memory(void *board);
int topcoat_board_read(void *board, uint32_t offset, uint32_t *value);
int topcoat_board_write(void *board, uint32_t offset, uint32_t value);

#define POLLS 1000000u
#define EXPECT(expected, call) expect(expected, call, #call, __LINE__)

typedef struct {
    void *board;
    /* What register ID and VERSION are made to differ by. */
    uint32_t other_id, other_version;
} Bus;

static void expect(topcoat_result expected, topcoat_result result, const char *call, int line)
{
    if (result == expected) return;
    fprintf(stderr, "line %d, %s: %s; expected: %s\n", line, call, topcoat_message(result), topcoat_message(expected));
    exit(1);
}

static uint32_t bus_read(void *context, uint32_t offset)
{
    const Bus *bus = context;
    uint32_t value = 0;
    if (topcoat_board_read(bus->board, offset, &value) != 0) {
        fprintf(stderr, "a read of the register at 0x%x was refused\n", (unsigned)offset);
        exit(1);
    }
    if (offset == TOPCOAT_OFFSET(ID)) value ^= bus->other_id;
    if (offset == TOPCOAT_OFFSET(VERSION)) value ^= bus->other_version;
    return value;
}

static void bus_write(void *context, uint32_t offset, uint32_t value)
{
    const Bus *bus = context;
    if (topcoat_board_write(bus->board, offset, value) != 0) {
        fprintf(stderr, "a write of the register at 0x%x was refused\n", (unsigned)offset);
        exit(1);
    }
}

static void bus_load(void *context, uint32_t place, const void *content, uint32_t size)
{
    const Bus *bus = context;
    memcpy(topcoat_board_memory(bus->board) + place, content, size);
}

static void bus_fetch(void *context, uint32_t place, void *content, uint32_t size)
{
    const Bus *bus = context;
    memcpy(content, topcoat_board_memory(bus->board) + place, size);
}

static uint8_t *contents(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(2);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) exit(2);
    fclose(file);
    return bytes;
}

static void refusals(topcoat_engine *engine, Bus *bus, uint8_t *file, size_t size)
{
    const topcoat_device device = engine->device;
    const uint32_t address = engine->memory_address, bytes = engine->memory_bytes;
    topcoat_program program;
    uint8_t word[4] = {0};

    bus->other_id = 1;
    EXPECT(TOPCOAT_NO_ENGINE, topcoat_open(engine, device, address, bytes));
    bus->other_id = 0;
    bus->other_version = 1;
    EXPECT(TOPCOAT_WRONG_VERSION, topcoat_open(engine, device, address, bytes));
    bus->other_version = 1u << 16;
    EXPECT(TOPCOAT_WRONG_VERSION, topcoat_open(engine, device, address, bytes));
    bus->other_version = 0;

    EXPECT(TOPCOAT_TOO_SHORT, topcoat_open_program(&program, file, TOPCOAT_HEADER_BYTES - 1));
    EXPECT(TOPCOAT_TOO_SHORT, topcoat_open_program(&program, file, size - 1));
    file[20] ^= 1;
    EXPECT(TOPCOAT_BAD_FILE, topcoat_open_program(&program, file, size));
    file[20] ^= 1;
    EXPECT(TOPCOAT_OK, topcoat_open_program(&program, file, size));

    EXPECT(TOPCOAT_OK, topcoat_open(engine, device, address + 64, bytes));
    EXPECT(TOPCOAT_MISALIGNED, topcoat_load(engine, &program));
    EXPECT(TOPCOAT_OK, topcoat_open(engine, device, address + TOPCOAT_PAGE_BYTES, bytes));
    EXPECT(TOPCOAT_WRONG_ADDRESS, topcoat_load(engine, &program));
    EXPECT(TOPCOAT_OK, topcoat_open(engine, device, address, program.memory_bytes - 1));
    EXPECT(TOPCOAT_TOO_LITTLE_MEMORY, topcoat_load(engine, &program));
    EXPECT(TOPCOAT_OK, topcoat_open(engine, device, address, bytes));
    program.configuration ^= 1;
    EXPECT(TOPCOAT_WRONG_CONFIGURATION, topcoat_load(engine, &program));
    program.configuration ^= 1;
    program.place += 4;
    EXPECT(TOPCOAT_MISALIGNED, topcoat_load(engine, &program));
    program.place -= 4;
    EXPECT(TOPCOAT_NOT_LOADED, topcoat_start(engine, word, sizeof word));
    EXPECT(TOPCOAT_OK, topcoat_load(engine, &program));
    EXPECT(TOPCOAT_WRONG_SIZE, topcoat_start(engine, word, sizeof word));
    EXPECT(TOPCOAT_NOT_STARTED, topcoat_wait(engine, 1));
    EXPECT(TOPCOAT_NOT_STARTED, topcoat_output(engine, word, sizeof word));
}

static void failure(topcoat_engine *engine, const uint8_t *input)
{
    uint8_t *memory = topcoat_board_memory(((Bus *)engine->device.context)->board);
    /* The second descriptor. */
    memory[engine->program.place + TOPCOAT_DESCRIPTOR_BYTES + 8] ^= 1;
    EXPECT(TOPCOAT_OK, topcoat_start(engine, input, engine->program.input_bytes));
    EXPECT(TOPCOAT_FAILED, topcoat_wait(engine, POLLS));
    printf("%s at %u\n", engine->error == TOPCOAT_ERROR_PROGRAM_CRC ? "PROGRAM_CRC" : "another error",
           (unsigned)engine->error_position);
    EXPECT(TOPCOAT_NOT_STARTED, topcoat_wait(engine, 1));
    memory[engine->program.place + TOPCOAT_DESCRIPTOR_BYTES + 8] ^= 1;
}

int main(int argc, char **argv)
{
    size_t size, input_size;
    if (argc < 4) return 2;
    uint8_t *file = contents(argv[1], &size), *input = contents(argv[2], &input_size);
    topcoat_program program;
    EXPECT(TOPCOAT_OK, topcoat_open_program(&program, file, size));

    Bus bus = {topcoat_board_open(program.address, program.memory_bytes), 0, 0};
    const topcoat_device device = {bus_read, bus_write, bus_load, bus_fetch, &bus};
    topcoat_engine engine;
    EXPECT(TOPCOAT_OK, topcoat_open(&engine, device, program.address, program.memory_bytes));
    refusals(&engine, &bus, file, size);
    failure(&engine, input);

    uint64_t value;
    uint8_t *output = malloc(program.output_bytes);
    if (output == NULL) return 2;
    EXPECT(TOPCOAT_OK, topcoat_start(&engine, input, (uint32_t)input_size));
    EXPECT(TOPCOAT_RUNNING, topcoat_output(&engine, output, program.output_bytes));
    EXPECT(TOPCOAT_RUNNING, topcoat_counter(&engine, TOPCOAT_OFFSET(CYCLES), &value));
    EXPECT(TOPCOAT_RUNNING, topcoat_start(&engine, input, (uint32_t)input_size));
    EXPECT(TOPCOAT_RUNNING, topcoat_load(&engine, &program));
    EXPECT(TOPCOAT_RUNNING, topcoat_wait(&engine, 3));
    /* Given up, and once more. */
    EXPECT(TOPCOAT_OK, topcoat_reset(&engine));
    EXPECT(TOPCOAT_OK, topcoat_start(&engine, input, (uint32_t)input_size));
    EXPECT(TOPCOAT_OK, topcoat_wait(&engine, POLLS));
    EXPECT(TOPCOAT_WRONG_SIZE, topcoat_output(&engine, output, program.output_bytes - 1));
    EXPECT(TOPCOAT_OK, topcoat_output(&engine, output, program.output_bytes));
    for (int i = 4; i < argc; i++) {
        EXPECT(TOPCOAT_OK, topcoat_counter(&engine, (uint32_t)strtoul(argv[i], NULL, 0), &value));
        printf("%llu\n", (unsigned long long)value);
    }
    FILE *result = fopen(argv[3], "wb");
    if (result == NULL || fwrite(output, 1, program.output_bytes, result) != program.output_bytes) return 2;
    fclose(result);

    topcoat_board_close(bus.board);
    free(output);
    free(input);
    free(file);
    return 0;
}
