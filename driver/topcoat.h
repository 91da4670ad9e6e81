/*
 * Driver of a Topcoat engine, in C99 (or C++): header only, no allocation, nothing but the registers and the memory that
 * the caller hands over. docs/driver.md shows its use; driver/engine.py is the same in Python.
 *
 * Every function that can fail returns a topcoat_result, and leaves the engine usable.
 */

#ifndef TOPCOAT_H
#define TOPCOAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "topcoat_registers.h"

#define TOPCOAT_PROGRAM_VERSION 1u
#define TOPCOAT_HEADER_BYTES 128u
#define TOPCOAT_DESCRIPTOR_BYTES 128u
#define TOPCOAT_PAGE_BYTES 4096u

typedef enum {
    TOPCOAT_OK = 0,
    TOPCOAT_NO_ENGINE,
    TOPCOAT_WRONG_VERSION,
    TOPCOAT_WRONG_CONFIGURATION,
    TOPCOAT_BAD_FILE,
    TOPCOAT_TOO_SHORT,
    TOPCOAT_MISALIGNED,
    TOPCOAT_WRONG_ADDRESS,
    TOPCOAT_TOO_LITTLE_MEMORY,
    TOPCOAT_WRONG_SIZE,
    TOPCOAT_NOT_LOADED,
    TOPCOAT_NOT_STARTED,
    TOPCOAT_RUNNING,
    TOPCOAT_FAILED,
    TOPCOAT_STUCK
} topcoat_result;

/* What went wrong and what to do, in one line. */
static inline const char *topcoat_message(topcoat_result result)
{
    switch (result) {
    case TOPCOAT_OK: return "all is well";
    case TOPCOAT_NO_ENGINE: return "there is no engine at the address: register ID has another value";
    case TOPCOAT_WRONG_VERSION: return "the engine has another version of registers or programs than this driver";
    case TOPCOAT_WRONG_CONFIGURATION: return "the program was compiled for another configuration than the engine's";
    case TOPCOAT_BAD_FILE: return "no program file of this version, or a damaged one: make it with `topcoat compile`";
    case TOPCOAT_TOO_SHORT: return "the program file was cut short";
    case TOPCOAT_MISALIGNED: return "the memory must begin at a multiple of 4096, the program at a multiple of a beat";
    case TOPCOAT_WRONG_ADDRESS: return "the program was compiled for memory elsewhere: `topcoat compile --address`";
    case TOPCOAT_TOO_LITTLE_MEMORY: return "the program needs more memory than there is";
    case TOPCOAT_WRONG_SIZE: return "an input must have exactly input_bytes bytes, an output output_bytes";
    case TOPCOAT_NOT_LOADED: return "no program is loaded: call topcoat_load";
    case TOPCOAT_NOT_STARTED: return "no program was started: call topcoat_start";
    case TOPCOAT_RUNNING: return "the program has not ended: call topcoat_wait, or topcoat_reset";
    case TOPCOAT_FAILED: return "the program failed: error, error_position and error_segment say why; start the next";
    case TOPCOAT_STUCK: return "the engine cannot be reset: its memory does not answer";
    }
    return "no result of this driver";
}

/* How the driver reaches the engine. `read` and `write` access the register at a byte offset, by one access of 32 bits;
 * `load` and `fetch` copy bytes into and out of the memory, `place` bytes from its beginning. */
typedef struct {
    uint32_t (*read)(void *context, uint32_t offset);
    void (*write)(void *context, uint32_t offset, uint32_t value);
    void (*load)(void *context, uint32_t place, const void *content, uint32_t size);
    void (*fetch)(void *context, uint32_t place, void *content, uint32_t size);
    void *context;
} topcoat_device;

/* Registers and memory at addresses of this processor, not cached: the context of a topcoat_mapped_device. */
typedef struct {
    volatile uint32_t *registers;
    volatile uint32_t *memory;
} topcoat_mapping;

/* The fences keep registers and memory in order: a program is there before its start, its end is seen before its
 * results. */
static inline uint32_t topcoat_mapped_read(void *context, uint32_t offset)
{
    const uint32_t value = ((const topcoat_mapping *)context)->registers[offset / 4];
    __sync_synchronize();
    return value;
}

static inline void topcoat_mapped_write(void *context, uint32_t offset, uint32_t value)
{
    __sync_synchronize();
    ((const topcoat_mapping *)context)->registers[offset / 4] = value;
}

/* Whole words: every region of a program is. */
static inline void topcoat_mapped_load(void *context, uint32_t place, const void *content, uint32_t size)
{
    volatile uint32_t *memory = ((const topcoat_mapping *)context)->memory + place / 4;
    for (uint32_t i = 0; i < size / 4; i++) {
        uint32_t word;
        memcpy(&word, (const uint8_t *)content + 4 * i, 4);
        memory[i] = word;
    }
}

static inline void topcoat_mapped_fetch(void *context, uint32_t place, void *content, uint32_t size)
{
    const volatile uint32_t *memory = ((const topcoat_mapping *)context)->memory + place / 4;
    for (uint32_t i = 0; i < size / 4; i++) {
        const uint32_t word = memory[i];
        memcpy((uint8_t *)content + 4 * i, &word, 4);
    }
}

/* The device at `mapping`, which must stay. */
static inline topcoat_device topcoat_mapped_device(topcoat_mapping *mapping)
{
    const topcoat_device device = {
        topcoat_mapped_read, topcoat_mapped_write, topcoat_mapped_load, topcoat_mapped_fetch, mapping,
    };
    return device;
}

/* A program file in memory (docs/driver.md). Places are bytes from `address`. */
typedef struct {
    uint32_t configuration, address, image_bytes, memory_bytes, place, descriptors;
    uint32_t input_place, input_bytes, output_place, output_bytes, batch;
    /* Height, width, channels. */
    uint32_t input_shape[3], output_shape[3];
    /* Bytes of a result's values, which are signed. */
    uint32_t value_bytes;
    const uint8_t *image;
} topcoat_program;

static inline uint32_t topcoat_word(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* That of zlib and IEEE 802.3. */
static inline uint32_t topcoat_crc32(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* Whether `size` bytes from `place` on are whole words inside of `limit` bytes. */
static inline int topcoat_inside(uint32_t place, uint64_t size, uint32_t limit)
{
    return place % 4 == 0 && size % 4 == 0 && size <= limit && place <= limit - size;
}

/* Reads a program file of `size` bytes, which must stay: `program` points into it. */
static inline topcoat_result topcoat_open_program(topcoat_program *program, const void *file, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)file;
    uint32_t words[TOPCOAT_HEADER_BYTES / 4];
    if (size < TOPCOAT_HEADER_BYTES) return TOPCOAT_TOO_SHORT;
    for (size_t i = 0; i < TOPCOAT_HEADER_BYTES / 4; i++) words[i] = topcoat_word(bytes + 4 * i);
    /* "TCPF" */
    if (words[0] != 0x46504354u || words[1] != TOPCOAT_PROGRAM_VERSION
        || words[31] != topcoat_crc32(bytes, TOPCOAT_HEADER_BYTES - 4))
        return TOPCOAT_BAD_FILE;
    if (size - TOPCOAT_HEADER_BYTES != words[4]) return TOPCOAT_TOO_SHORT;
    program->configuration = words[2];
    program->address = words[3];
    program->image_bytes = words[4];
    program->memory_bytes = words[5];
    program->place = words[6];
    program->descriptors = words[7];
    program->input_place = words[8];
    program->input_bytes = words[9];
    program->output_place = words[10];
    program->output_bytes = words[11];
    program->batch = words[12];
    for (int i = 0; i < 3; i++) {
        program->input_shape[i] = words[13 + i];
        program->output_shape[i] = words[16 + i];
    }
    program->value_bytes = words[19];
    program->image = bytes + TOPCOAT_HEADER_BYTES;
    if (!topcoat_inside(program->place, (uint64_t)program->descriptors * TOPCOAT_DESCRIPTOR_BYTES,
                        program->image_bytes)
        || !topcoat_inside(program->input_place, program->input_bytes, program->memory_bytes)
        || !topcoat_inside(program->output_place, program->output_bytes, program->memory_bytes)
        || program->image_bytes > program->memory_bytes || program->image_bytes % 4)
        return TOPCOAT_BAD_FILE;
    return TOPCOAT_OK;
}

/* An engine. Its owner reads the first three after TOPCOAT_FAILED, and writes none. */
typedef struct {
    /* A topcoat_error, index of the descriptor, and segment if a checksum was wrong. */
    uint32_t error, error_position, error_segment;
    topcoat_device device;
    /* Of the memory's first byte, as the engine sees it, and its size. */
    uint32_t memory_address, memory_bytes;
    topcoat_program program;
    int loaded, running, done;
} topcoat_engine;

/* Byte offset of a register, and a field of its value. */
#define TOPCOAT_OFFSET(reg) ((uint32_t)offsetof(topcoat_t, reg))
#define TOPCOAT_FIELD(value, reg, field) (((value) & TOPCOAT__##reg##__##field##_bm) >> TOPCOAT__##reg##__##field##_bp)

static inline uint32_t topcoat_read(topcoat_engine *engine, uint32_t offset)
{
    return engine->device.read(engine->device.context, offset);
}

static inline void topcoat_write(topcoat_engine *engine, uint32_t offset, uint32_t value)
{
    engine->device.write(engine->device.context, offset, value);
}

/* Reads of STATUS after which a reset counts as stuck. */
#define TOPCOAT_RESET_READS 1000000u

/* Stops whatever runs; what is loaded stays. */
static inline topcoat_result topcoat_reset(topcoat_engine *engine)
{
    engine->running = engine->done = 0;
    topcoat_write(engine, TOPCOAT_OFFSET(CONTROL), TOPCOAT__CONTROL__RESET_bm);
    for (uint32_t i = 0; i < TOPCOAT_RESET_READS; i++) {
        if (topcoat_read(engine, TOPCOAT_OFFSET(STATUS)) & TOPCOAT__STATUS__READY_bm) {
            /* Of a run that ended just before. */
            topcoat_write(engine, TOPCOAT_OFFSET(INTERRUPT_PENDING), TOPCOAT__INTERRUPT_PENDING__DONE_bm);
            return TOPCOAT_OK;
        }
    }
    return TOPCOAT_STUCK;
}

/* Finds the engine. What a program before has left running or failed is reset. `device.context` must stay. */
static inline topcoat_result topcoat_open(topcoat_engine *engine, topcoat_device device, uint32_t memory_address,
                                          uint32_t memory_bytes)
{
    memset(engine, 0, sizeof *engine);
    engine->device = device;
    engine->memory_address = memory_address;
    engine->memory_bytes = memory_bytes;
    if (topcoat_read(engine, TOPCOAT_OFFSET(ID)) != TOPCOAT__ID__VALUE_reset) return TOPCOAT_NO_ENGINE;
    const uint32_t version = topcoat_read(engine, TOPCOAT_OFFSET(VERSION));
    if (TOPCOAT_FIELD(version, VERSION, REGISTERS) != TOPCOAT__VERSION__REGISTERS_reset
        || TOPCOAT_FIELD(version, VERSION, PROGRAM) != TOPCOAT__VERSION__PROGRAM_reset)
        return TOPCOAT_WRONG_VERSION;
    if (topcoat_read(engine, TOPCOAT_OFFSET(STATUS)) & TOPCOAT__STATUS__READY_bm) return TOPCOAT_OK;
    return topcoat_reset(engine);
}

/* Puts a program into the memory, for any number of runs. */
static inline topcoat_result topcoat_load(topcoat_engine *engine, const topcoat_program *program)
{
    const uint32_t beat_bytes = TOPCOAT_FIELD(topcoat_read(engine, TOPCOAT_OFFSET(BUS)), BUS, BITS) / 8;
    if (engine->running) return TOPCOAT_RUNNING;
    if (topcoat_read(engine, TOPCOAT_OFFSET(CONFIGURATION)) != program->configuration)
        return TOPCOAT_WRONG_CONFIGURATION;
    if (program->memory_bytes > engine->memory_bytes) return TOPCOAT_TOO_LITTLE_MEMORY;
    if (engine->memory_address % TOPCOAT_PAGE_BYTES || program->place % beat_bytes) return TOPCOAT_MISALIGNED;
    if (engine->memory_address != program->address) return TOPCOAT_WRONG_ADDRESS;
    engine->device.load(engine->device.context, 0, program->image, program->image_bytes);
    engine->program = *program;
    engine->loaded = 1;
    engine->done = 0;
    return TOPCOAT_OK;
}

/* Starts a run on an input region's content: int8 values by rows, columns, channels; each image padded to a beat. */
static inline topcoat_result topcoat_start(topcoat_engine *engine, const void *input, uint32_t size)
{
    if (!engine->loaded) return TOPCOAT_NOT_LOADED;
    if (size != engine->program.input_bytes) return TOPCOAT_WRONG_SIZE;
    if (!(topcoat_read(engine, TOPCOAT_OFFSET(STATUS)) & TOPCOAT__STATUS__READY_bm)) return TOPCOAT_RUNNING;
    engine->device.load(engine->device.context, engine->program.input_place, input, size);
    engine->running = 1;
    engine->done = 0;
    topcoat_write(engine, TOPCOAT_OFFSET(INTERRUPT_PENDING), TOPCOAT__INTERRUPT_PENDING__DONE_bm);
    topcoat_write(engine, TOPCOAT_OFFSET(INTERRUPT_ENABLE), TOPCOAT__INTERRUPT_ENABLE__DONE_bm);
    topcoat_write(engine, TOPCOAT_OFFSET(PROGRAM_ADDRESS), engine->program.address + engine->program.place);
    topcoat_write(engine, TOPCOAT_OFFSET(CONTROL), TOPCOAT__CONTROL__START_bm);
    return TOPCOAT_OK;
}

/* TOPCOAT_OK once the run has ended, TOPCOAT_RUNNING before. After TOPCOAT_FAILED, which it says once, the engine was
 * reset and takes the next program. Lowers the interrupt, so it may be what answers it. */
static inline topcoat_result topcoat_poll(topcoat_engine *engine)
{
    if (engine->done) return TOPCOAT_OK;
    if (!engine->running) return TOPCOAT_NOT_STARTED;
    if (!(topcoat_read(engine, TOPCOAT_OFFSET(INTERRUPT_PENDING)) & TOPCOAT__INTERRUPT_PENDING__DONE_bm))
        return TOPCOAT_RUNNING;
    engine->running = 0;
    topcoat_write(engine, TOPCOAT_OFFSET(INTERRUPT_PENDING), TOPCOAT__INTERRUPT_PENDING__DONE_bm);
    if (topcoat_read(engine, TOPCOAT_OFFSET(STATUS)) & TOPCOAT__STATUS__ERROR_bm) {
        engine->error = topcoat_read(engine, TOPCOAT_OFFSET(ERROR));
        engine->error_position = topcoat_read(engine, TOPCOAT_OFFSET(ERROR_POSITION));
        engine->error_segment = topcoat_read(engine, TOPCOAT_OFFSET(ERROR_SEGMENT));
        const topcoat_result result = topcoat_reset(engine);
        return result == TOPCOAT_OK ? TOPCOAT_FAILED : result;
    }
    engine->done = 1;
    return TOPCOAT_OK;
}

/* Polls at most `polls` times: TOPCOAT_RUNNING if the run has not ended by then. */
static inline topcoat_result topcoat_wait(topcoat_engine *engine, uint32_t polls)
{
    topcoat_result result = topcoat_poll(engine);
    while (result == TOPCOAT_RUNNING && polls-- > 1) result = topcoat_poll(engine);
    return result;
}

/* Copies the output region of the last run: `size` must be the program's output_bytes. */
static inline topcoat_result topcoat_output(topcoat_engine *engine, void *output, uint32_t size)
{
    const topcoat_result result = topcoat_poll(engine);
    if (result != TOPCOAT_OK) return result;
    if (size != engine->program.output_bytes) return TOPCOAT_WRONG_SIZE;
    engine->device.fetch(engine->device.context, engine->program.output_place, output, size);
    return TOPCOAT_OK;
}

/* A counter of the last run, by its offset: topcoat_counter(&engine, TOPCOAT_OFFSET(CYCLES), &cycles). */
static inline topcoat_result topcoat_counter(topcoat_engine *engine, uint32_t offset, uint64_t *value)
{
    const topcoat_result result = topcoat_poll(engine);
    if (result != TOPCOAT_OK) return result;
    *value = topcoat_read(engine, offset) | (uint64_t)topcoat_read(engine, offset + 4) << 32;
    return TOPCOAT_OK;
}

#endif /* TOPCOAT_H */
