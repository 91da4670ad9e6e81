// Memory behind the engine's memory interface: read data in the order of the requests, one write_done per write burst.
//
// Timing. With latency 0, a rate of one beat per cycle and no stalls: a read request accepted in cycle t has its first
// beat on offer in cycle t + 1, further beats and bursts follow without a gap; write data are accepted from the cycle
// after their request; write_done is on offer in the cycle after the burst's last beat. `latency` adds cycles before
// the first beat and before write_done. `rate_beats` per `rate_cycles` bounds each direction by itself. `stall` / 4096
// is the chance that a handshake is held up in a cycle, drawn for each of the five handshakes from a linear feedback
// generator.
//
// The least favourable order: a read returns what was there when its request was accepted, and written data are there
// from write_done on, not before. The bytes themselves are kept in job.cpp, which also knows what the program moves.
//
// A burst that leaves the memory or begins between two beats is the engine's fault, and so is one that the program does
// not make; without `strict`, the first is answered with an error and the second is as good as any other.

module topcoat_memory #(
    parameter BUS_BITS = 64,
    parameter BEATS_BITS = 5,
    parameter BURST_BEATS = 16
) (
    input clk,
    input rst,
    // Draw the stalls from the seed again, so that a run does not depend on what came before it.
    input start,
    input [31:0] latency,
    input [15:0] rate_beats,
    input [15:0] rate_cycles,
    input [12:0] stall,
    input [63:0] seed,
    input [63:0] bytes,
    input strict,
    // Faults: while `injecting`, the beat of that number since start is read with an error, the burst with the beat of
    // that number is written with one (and its data are lost); while `stuck`, nothing new is offered or accepted.
    input injecting,
    input stuck,
    input [63:0] read_error_beat,
    input [63:0] write_error_beat,

    input [31:0] read_address,
    input [BEATS_BITS-1:0] read_beats,
    input read_request_valid,
    output reg read_request_ready,
    output reg [BUS_BITS-1:0] read_data,
    output reg read_error,
    output reg read_data_valid,
    input read_data_ready,

    input [31:0] write_address,
    input [BEATS_BITS-1:0] write_beats,
    input write_request_valid,
    output reg write_request_ready,
    input [BUS_BITS-1:0] write_data,
    input write_data_valid,
    output reg write_data_ready,
    output reg write_done_valid,
    input write_done_ready,
    output reg write_error,

    // What the engine did wrong: 0 nothing, 1 a valid or payload that did not stay, 2 a bad address, 3 a bad burst, 4 a
    // burst that is not in the program.
    output reg [2:0] fault,
    output reg [31:0] fault_address
);
    import "DPI-C" function void topcoat_reset();
    import "DPI-C" function bit topcoat_expect(input bit write, input int unsigned address, input int unsigned beats);
    import "DPI-C" function void topcoat_fetch(input int unsigned address, input int unsigned beats);
    import "DPI-C" function void topcoat_read(output bit [BUS_BITS-1:0] beat);
    import "DPI-C" function void topcoat_write(input int unsigned address, input bit [BUS_BITS-1:0] beat);
    import "DPI-C" function void topcoat_commit(input int unsigned beats, input bit lost);

    localparam BUS_BYTES = BUS_BITS / 8;
    localparam PAGE_BYTES = 4096;
    localparam INDEX_BITS = 8;
    localparam OUTSTANDING = 1 << INDEX_BITS;
    localparam UNSTABLE = 3'd1, ADDRESS = 3'd2, BURST = 3'd3, UNEXPECTED = 3'd4;

    // Requests waiting for their data, and bursts waiting for their write_done.
    reg [BEATS_BITS-1:0] reads_beats [0:OUTSTANDING-1];
    reg [47:0] reads_due [0:OUTSTANDING-1];
    reg reads_bad [0:OUTSTANDING-1];
    reg [31:0] writes_address [0:OUTSTANDING-1];
    reg [BEATS_BITS-1:0] writes_beats [0:OUTSTANDING-1];
    reg writes_bad [0:OUTSTANDING-1];
    reg [BEATS_BITS-1:0] dones_beats [0:OUTSTANDING-1];
    reg [47:0] dones_due [0:OUTSTANDING-1];
    reg dones_bad [0:OUTSTANDING-1];
    reg [INDEX_BITS-1:0] reads_head, reads_tail, writes_head, writes_tail, dones_head, dones_tail;
    // The burst being read, and the one being written.
    reg [BEATS_BITS-1:0] read_left, write_left;
    reg [31:0] write_next;
    reg read_bad, write_bad;
    // Beats since start.
    reg [63:0] read_number, write_number;

    reg [47:0] now;
    reg [63:0] random;
    reg [16:0] read_credit, write_credit;
    reg read_offered, done_offered;
    reg [BUS_BITS-1:0] beat;
    reg [31:0] found_address;
    reg [2:0] found, read_fault, write_fault;

    wire [16:0] credit_limit = {1'b0, rate_beats} + {1'b0, rate_cycles} - 17'd1;

    function [16:0] refill(input [16:0] credit);
        refill = credit + {1'b0, rate_beats} > credit_limit ? credit_limit : credit + {1'b0, rate_beats};
    endfunction

    function [2:0] request_fault(input [31:0] address, input [BEATS_BITS-1:0] beats);
        if (address % BUS_BYTES != 0 || {32'd0, address} + beats * BUS_BYTES > bytes)
            request_fault = ADDRESS;
        else if (beats == 0 || beats > BURST_BEATS || address % PAGE_BYTES + beats * BUS_BYTES > PAGE_BYTES)
            request_fault = BURST;
        else
            request_fault = 3'd0;
    endfunction

    wire read_request_broken, write_request_broken, write_data_broken;
    topcoat_stable #(32 + BEATS_BITS) read_request_stable (clk, rst, read_request_valid, read_request_ready,
        {read_beats, read_address}, read_request_broken);
    topcoat_stable #(32 + BEATS_BITS) write_request_stable (clk, rst, write_request_valid, write_request_ready,
        {write_beats, write_address}, write_request_broken);
    topcoat_stable #(BUS_BITS) write_data_stable (clk, rst, write_data_valid, write_data_ready, write_data,
        write_data_broken);

    // At each edge: first what was handed over in the cycle that ends, then what is on offer in the next one.
    always @(posedge clk) begin
        now = now + 48'd1;
        found = 0;
        found_address = read_address;
        if (stall != 0) begin
            random = random ^ (random << 13);
            random = random ^ (random >> 7);
            random = random ^ (random << 17);
        end
        if (start) begin
            random = seed;
            read_number = 0;
            write_number = 0;
            read_credit = 0;
            write_credit = 0;
        end
        read_credit = refill(read_credit);

        if (read_request_valid && read_request_ready) begin
            read_fault = request_fault(read_address, read_beats);
            if (topcoat_expect(1'b0, read_address, {{(32 - BEATS_BITS){1'b0}}, read_beats}) && read_fault == 0)
                read_fault = UNEXPECTED;
            if (strict || read_fault == BURST) found = read_fault;
            topcoat_fetch(read_address, {{(32 - BEATS_BITS){1'b0}}, read_beats});
            reads_beats[reads_tail] = read_beats;
            reads_bad[reads_tail] = read_fault == ADDRESS;
            reads_due[reads_tail] = now + {16'd0, latency};
            reads_tail = reads_tail + 1'b1;
        end
        if (read_data_ready) read_offered = 1'b0;
        if (read_left == 0 && reads_head != reads_tail && reads_due[reads_head] <= now) begin
            read_left = reads_beats[reads_head];
            read_bad = reads_bad[reads_head];
            reads_head = reads_head + 1'b1;
        end
        if (!read_offered && read_left != 0 && read_credit >= {1'b0, rate_cycles} && random[11:0] >= stall
            && !stuck) begin
            topcoat_read(beat);
            if (injecting && read_number == read_error_beat) begin
                read_data <= ~beat;
                read_error <= 1'b1;
            end else begin
                read_data <= beat;
                read_error <= read_bad;
            end
            read_number = read_number + 64'd1;
            read_left = read_left - 1'b1;
            read_credit = read_credit - {1'b0, rate_cycles};
            read_offered = 1'b1;
        end
        read_data_valid <= read_offered;
        read_request_ready <= reads_tail + 1'b1 != reads_head && random[23:12] >= stall && !stuck;

        if (write_data_valid && write_data_ready) begin
            topcoat_write(write_next, write_data);
            write_next = write_next + BUS_BYTES;
            write_left = write_left - 1'b1;
            if (injecting && write_number == write_error_beat) write_bad = 1'b1;
            write_number = write_number + 64'd1;
            write_credit = write_credit - {1'b0, rate_cycles};
            if (write_left == 0) begin
                dones_beats[dones_tail] = writes_beats[writes_head];
                dones_bad[dones_tail] = write_bad;
                dones_due[dones_tail] = now + {16'd0, latency};
                dones_tail = dones_tail + 1'b1;
                writes_head = writes_head + 1'b1;
            end
        end
        write_credit = refill(write_credit);
        if (write_request_valid && write_request_ready) begin
            write_fault = request_fault(write_address, write_beats);
            if (topcoat_expect(1'b1, write_address, {{(32 - BEATS_BITS){1'b0}}, write_beats}) && write_fault == 0)
                write_fault = UNEXPECTED;
            if (found == 0 && (strict || write_fault == BURST)) begin
                found = write_fault;
                found_address = write_address;
            end
            writes_address[writes_tail] = write_address;
            writes_beats[writes_tail] = write_beats;
            writes_bad[writes_tail] = write_fault == ADDRESS;
            writes_tail = writes_tail + 1'b1;
        end
        if (write_left == 0 && writes_head != writes_tail) begin
            write_next = writes_address[writes_head];
            write_left = writes_beats[writes_head];
            write_bad = writes_bad[writes_head];
        end
        write_data_ready <= write_left != 0 && dones_tail + 1'b1 != dones_head && write_credit >= {1'b0, rate_cycles}
            && random[35:24] >= stall && !stuck;
        write_request_ready <= writes_tail + 1'b1 != writes_head && random[47:36] >= stall && !stuck;
        if (write_done_ready) done_offered = 1'b0;
        if (!done_offered && dones_head != dones_tail && dones_due[dones_head] <= now && random[59:48] >= stall
            && !stuck) begin
            topcoat_commit({{(32 - BEATS_BITS){1'b0}}, dones_beats[dones_head]}, dones_bad[dones_head]);
            write_error <= dones_bad[dones_head];
            dones_head = dones_head + 1'b1;
            done_offered = 1'b1;
        end
        write_done_valid <= done_offered;

        if (read_request_broken || write_request_broken || write_data_broken) found = UNSTABLE;
        if (fault == 0) begin
            fault <= found;
            fault_address <= found_address;
        end

        if (rst) begin
            topcoat_reset();
            now = 0;
            random = seed;
            {reads_head, reads_tail, writes_head, writes_tail, dones_head, dones_tail} = 0;
            {read_left, write_left, read_offered, done_offered, read_credit, write_credit} = 0;
            {read_request_ready, read_data_valid, write_request_ready, write_data_ready, write_done_valid} <= 0;
            fault <= 0;
        end
    end
endmodule

// Says when a valid was withdrawn, or its payload changed, before it was accepted.
module topcoat_stable #(parameter WIDTH = 1) (
    input clk,
    input rst,
    input valid,
    input ready,
    input [WIDTH-1:0] payload,
    output broken
);
    reg waiting;
    reg [WIDTH-1:0] held;
    always @(posedge clk) begin
        waiting <= valid && !ready && !rst;
        held <= payload;
    end
    assign broken = waiting && !(valid && payload == held);
endmodule
