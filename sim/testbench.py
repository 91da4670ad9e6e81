"""A testbench in plain Verilog-2001 with the vectors of a network: it loads a memory image, runs the program over the
accelerator's buses, holds the output against the integer model's, and says PASS or FAIL."""

from __future__ import annotations

import dataclasses

import numpy as np

from arch.config import EngineConfig
from arch.depths import PAGE_BYTES
from arch.descriptor import MAGIC, Error
from arch.registers import ADDRESS_BITS, FIELDS, OFFSETS
from compiler import compile_network
from golden.integer import IntegerNetwork

__all__ = ["BENCH", "first_layer", "testbench"]

BENCH = "topcoat_tb"
"""The testbench's module."""

_UNWRITTEN = 0xA5
"""What the output's bytes hold before the run."""

_SLACK = 4
"""Cycles that a run may take, as a multiple of the prediction for a memory that never pauses."""

_START_CYCLES = 1000
"""And those before it, with the program that fails."""

_BENCH = """\
// SPDX-License-Identifier: Apache-2.0
// Self-checking testbench of {top}: {layers} of model {model}, one image.
// Wants memory.hex and expected.hex in the folder it runs in; prints one line that begins with PASS or FAIL. A failure
// ends in $stop, with which Verilator ends unsuccessfully, and Icarus as `vvp -N`.
module {bench};
  // Bytes of a beat; memory and output, in beats and bytes.
  localparam BEAT_BYTES = {beat_bytes}, BEAT_SHIFT = {beat_shift}, WORDS = {words};
  localparam [31:0] PROGRAM_ADDRESS = 32'h{program:08x}, OUTPUT_ADDRESS = 32'h{output:08x};
  localparam OUTPUT_BYTES = {output_bytes}, EXPECTED_WORDS = {expected_words};
  localparam TIMEOUT_CYCLES = {timeout};
  // Registers (docs/registers.md).
{offsets}  localparam READY = {ready};
  reg clk, rst;
  integer cycles, started;
  initial begin
    clk = 1'b0;
    cycles = 0;
  end
  always #5 clk = ~clk;
  // An end, whatever does not answer.
  always @(negedge clk) begin
    cycles <= cycles + 1;
    if (cycles == TIMEOUT_CYCLES) begin
      $display("FAIL: no end after %0d cycles", cycles);
      $stop;
      $finish;
    end
  end

  reg [8*BEAT_BYTES-1:0] memory [0:WORDS-1];
  reg [8*BEAT_BYTES-1:0] expected [0:EXPECTED_WORDS-1];

  // Pauses of the bus: about one cycle in four, the same in every run.
  reg [15:0] noise;
  initial noise = 16'hace1;
  always @(posedge clk) noise <= {{noise[14:0], noise[15] ^ noise[13] ^ noise[12] ^ noise[10]}};
  wire pause_request = noise[1:0] == 2'b00;
  wire pause_read = noise[5:4] == 2'b00;

  wire irq;
  // The accelerator did on the memory bus what it must not.
  reg illegal;
{bus}
  // The test.
  reg [31:0] value;
  integer index, wrong;
  reg [7:0] found, wanted;

  // A program, from its start to its interrupt: `value` becomes its error.
  task run(input [31:0] address);
    begin
      write_register(PROGRAM, address);
      write_register(INTERRUPT_PENDING, 32'h1);
      write_register(INTERRUPT_ENABLE, 32'h1);
      write_register(CONTROL, 32'h1);
      started = cycles;
      while (!irq) @(negedge clk);
      read_register(ERROR, value);
    end
  endtask

  initial begin
    $readmemh("memory.hex", memory);
    $readmemh("expected.hex", expected);
    wrong = 0;
    rst = 1'b1;
    repeat (8) @(negedge clk);
    rst = 1'b0;
    @(negedge clk);
    read_register(ID, value);
    if (value == 32'h{magic:08x}) read_register(CONFIGURATION, value);
    if (value != 32'h{hash:08x}) $display("FAIL: register ID or CONFIGURATION holds %h", value);
    else begin
      // A program past the memory ends with the memory's error, and a reset makes the engine forget it.
      run(BEAT_BYTES*WORDS);
      if (value != {bus_read}) $display("FAIL: a program past the memory ended with %0d, not {bus_read}", value);
      else begin
        write_register(CONTROL, 32'h2);
        value = 32'h0;
        while (!value[READY]) read_register(STATUS, value);
        run(PROGRAM_ADDRESS);
        if (value != 32'h0) $display("FAIL: the program ended with error %0d", value);
        else if (illegal) $display("FAIL: a transfer on the memory bus breaks its rules");
        else begin
          for (index = 0; index < OUTPUT_BYTES; index = index + 1) begin
            found = memory[(OUTPUT_ADDRESS >> BEAT_SHIFT) + (index >> BEAT_SHIFT)][8*(index & (BEAT_BYTES-1)) +: 8];
            wanted = expected[index >> BEAT_SHIFT][8*(index & (BEAT_BYTES-1)) +: 8];
            if (found !== wanted) begin
              if (wrong < 10) $display("byte %0d is %h, not %h", index, found, wanted);
              wrong = wrong + 1;
            end
          end
          if (wrong != 0) $display("FAIL: %0d of %0d bytes are wrong", wrong, OUTPUT_BYTES);
          else begin
            $display("PASS: {layers}, %0d bytes, %0d cycles", OUTPUT_BYTES, cycles - started);
            $finish;
          end
        end
      end
    end
    $stop;
    $finish;
  end
endmodule
"""

_AXI = """
  // AXI4 memory: up to four bursts of each kind wait; what is not in it is answered with SLVERR.
  wire m_axi_awid, m_axi_arid, m_axi_awvalid, m_axi_arvalid, m_axi_wlast, m_axi_wvalid, m_axi_bready, m_axi_rready;
  wire [31:0] m_axi_awaddr, m_axi_araddr;
  wire [7:0] m_axi_awlen, m_axi_arlen;
  wire [2:0] m_axi_awsize, m_axi_arsize, m_axi_awprot, m_axi_arprot;
  wire [1:0] m_axi_awburst, m_axi_arburst;
  wire [3:0] m_axi_awcache, m_axi_arcache;
  wire [8*BEAT_BYTES-1:0] m_axi_wdata;
  wire [BEAT_BYTES-1:0] m_axi_wstrb;
  reg m_axi_rvalid, m_axi_rlast;
  reg [1:0] m_axi_rresp;
  reg [8*BEAT_BYTES-1:0] m_axi_rdata;
  // Bursts taken: word and beats less one. Those completed; of the one under way, the beats that are done.
  reg [39:0] reads [0:3];
  reg [39:0] writes [0:3];
  reg [2:0] reads_taken, reads_done, writes_taken, writes_done, writes_answered;
  reg [7:0] read_beat, write_beat;
  wire [2:0] reads_open = reads_taken - reads_done;
  wire [2:0] writes_open = writes_taken - writes_answered;
  wire [39:0] read = reads[reads_done[1:0]];
  wire [39:0] write = writes[writes_done[1:0]];
  wire [31:0] read_word = read[39:8] + {24'd0, read_beat};
  wire [31:0] write_word = write[39:8] + {24'd0, write_beat};
  wire pause_write = noise[9:8] == 2'b00;
  wire m_axi_arready = reads_open != 3'd4 && !pause_request;
  wire m_axi_awready = writes_open != 3'd4 && !pause_request;
  wire m_axi_wready = writes_taken != writes_done && !pause_write;
  wire m_axi_bvalid = writes_done != writes_answered;
  // What is offered stays until it is taken.
  wire [53:0] read_request = {m_axi_arid, m_axi_araddr, m_axi_arlen, m_axi_arsize, m_axi_arburst, m_axi_arcache,
                              m_axi_arprot, m_axi_arvalid};
  wire [53:0] write_request = {m_axi_awid, m_axi_awaddr, m_axi_awlen, m_axi_awsize, m_axi_awburst, m_axi_awcache,
                               m_axi_awprot, m_axi_awvalid};
  wire [9*BEAT_BYTES+1:0] write_beat_offered = {m_axi_wdata, m_axi_wstrb, m_axi_wlast, m_axi_wvalid};
  reg [53:0] read_request_held, write_request_held;
  reg [9*BEAT_BYTES+1:0] write_beat_held;
  reg read_waits, write_waits, beat_waits;
  integer lane;
  initial begin
    illegal = 1'b0;
    m_axi_rvalid = 1'b0;
    m_axi_rlast = 1'b0;
    reads_taken = 3'd0;
    reads_done = 3'd0;
    writes_taken = 3'd0;
    writes_done = 3'd0;
    writes_answered = 3'd0;
    read_beat = 8'd0;
    write_beat = 8'd0;
    read_waits = 1'b0;
    write_waits = 1'b0;
    beat_waits = 1'b0;
  end
  always @(posedge clk) if (!rst) begin
    if (m_axi_arvalid && m_axi_arready) begin
      reads[reads_taken[1:0]] <= {m_axi_araddr >> BEAT_SHIFT, m_axi_arlen};
      reads_taken <= reads_taken + 3'd1;
    end
    if (m_axi_rready) m_axi_rvalid <= 1'b0;
    if (reads_open != 3'd0 && (!m_axi_rvalid || m_axi_rready) && !pause_read) begin
      m_axi_rvalid <= 1'b1;
      m_axi_rdata <= memory[read_word];
      m_axi_rresp <= read_word < WORDS ? 2'b00 : 2'b10;
      m_axi_rlast <= read_beat == read[7:0];
      read_beat <= read_beat == read[7:0] ? 8'd0 : read_beat + 8'd1;
      if (read_beat == read[7:0]) reads_done <= reads_done + 3'd1;
    end
    if (m_axi_awvalid && m_axi_awready) begin
      writes[writes_taken[1:0]] <= {m_axi_awaddr >> BEAT_SHIFT, m_axi_awlen};
      writes_taken <= writes_taken + 3'd1;
    end
    if (m_axi_wvalid && m_axi_wready) begin
      for (lane = 0; lane < BEAT_BYTES; lane = lane + 1)
        if (m_axi_wstrb[lane]) memory[write_word][8*lane +: 8] <= m_axi_wdata[8*lane +: 8];
      if (m_axi_wlast != (write_beat == write[7:0]) || write_word >= WORDS) illegal <= 1'b1;
      write_beat <= m_axi_wlast ? 8'd0 : write_beat + 8'd1;
      if (m_axi_wlast) writes_done <= writes_done + 3'd1;
    end
    if (m_axi_bvalid && m_axi_bready) writes_answered <= writes_answered + 3'd1;
    // One ID, whole beats, aligned, INCR, not bufferable, no privileges, not across 4 KiB.
    if (m_axi_awvalid && ({m_axi_awid, m_axi_awsize, m_axi_awburst, m_axi_awcache, m_axi_awprot}
        != {1'b0, BEAT_SHIFT[2:0], 2'b01, 4'b0010, 3'b000}
        || (m_axi_awaddr & (BEAT_BYTES - 1)) != 32'd0
        || {20'd0, m_axi_awaddr[11:0]} + BEAT_BYTES*({24'd0, m_axi_awlen} + 1) > 4096)) illegal <= 1'b1;
    if (m_axi_arvalid && ({m_axi_arid, m_axi_arsize, m_axi_arburst, m_axi_arcache, m_axi_arprot}
        != {1'b0, BEAT_SHIFT[2:0], 2'b01, 4'b0010, 3'b000}
        || (m_axi_araddr & (BEAT_BYTES - 1)) != 32'd0
        || {20'd0, m_axi_araddr[11:0]} + BEAT_BYTES*({24'd0, m_axi_arlen} + 1) > 4096)) illegal <= 1'b1;
    read_waits <= m_axi_arvalid && !m_axi_arready;
    write_waits <= m_axi_awvalid && !m_axi_awready;
    beat_waits <= m_axi_wvalid && !m_axi_wready;
    read_request_held <= read_request;
    write_request_held <= write_request;
    write_beat_held <= write_beat_offered;
    if (read_waits && read_request != read_request_held || write_waits && write_request != write_request_held
        || beat_waits && write_beat_offered != write_beat_held) illegal <= 1'b1;
  end

  // AXI4-Lite registers.
  reg [ADDRESS_BITS-1:0] s_axil_awaddr, s_axil_araddr;
  reg s_axil_awvalid, s_axil_wvalid, s_axil_arvalid;
  reg [31:0] s_axil_wdata;
  wire s_axil_awready, s_axil_wready, s_axil_bvalid, s_axil_arready, s_axil_rvalid;
  wire [1:0] s_axil_bresp, s_axil_rresp;
  wire [31:0] s_axil_rdata;
  initial begin
    s_axil_awvalid = 1'b0;
    s_axil_wvalid = 1'b0;
    s_axil_arvalid = 1'b0;
  end
  reg address_taken, data_taken;

  task write_register(input [ADDRESS_BITS-1:0] address, input [31:0] word);
    begin
      s_axil_awaddr = address;
      s_axil_wdata = word;
      s_axil_awvalid = 1'b1;
      s_axil_wvalid = 1'b1;
      while (s_axil_awvalid || s_axil_wvalid) begin
        address_taken = s_axil_awready;
        data_taken = s_axil_wready;
        @(negedge clk);
        if (address_taken) s_axil_awvalid = 1'b0;
        if (data_taken) s_axil_wvalid = 1'b0;
      end
      while (!s_axil_bvalid) @(negedge clk);
      if (s_axil_bresp != 2'b00) $display("write to %h refused", address);
      @(negedge clk);
    end
  endtask

  task read_register(input [ADDRESS_BITS-1:0] address, output [31:0] word);
    begin
      s_axil_araddr = address;
      s_axil_arvalid = 1'b1;
      while (s_axil_arvalid) begin
        address_taken = s_axil_arready;
        @(negedge clk);
        if (address_taken) s_axil_arvalid = 1'b0;
      end
      while (!s_axil_rvalid) @(negedge clk);
      word = s_axil_rdata;
      if (s_axil_rresp != 2'b00) $display("read of %h refused", address);
      @(negedge clk);
    end
  endtask

  {top} dut (
    .clk(clk), .rst(rst), .irq(irq),
    .s_axil_awaddr(s_axil_awaddr), .s_axil_awprot(3'b000), .s_axil_awvalid(s_axil_awvalid),
    .s_axil_awready(s_axil_awready), .s_axil_wdata(s_axil_wdata), .s_axil_wstrb(4'b1111),
    .s_axil_wvalid(s_axil_wvalid), .s_axil_wready(s_axil_wready), .s_axil_bresp(s_axil_bresp),
    .s_axil_bvalid(s_axil_bvalid), .s_axil_bready(1'b1), .s_axil_araddr(s_axil_araddr), .s_axil_arprot(3'b000),
    .s_axil_arvalid(s_axil_arvalid), .s_axil_arready(s_axil_arready), .s_axil_rdata(s_axil_rdata),
    .s_axil_rresp(s_axil_rresp), .s_axil_rvalid(s_axil_rvalid), .s_axil_rready(1'b1),
    .m_axi_awid(m_axi_awid), .m_axi_awaddr(m_axi_awaddr), .m_axi_awlen(m_axi_awlen), .m_axi_awsize(m_axi_awsize),
    .m_axi_awburst(m_axi_awburst), .m_axi_awcache(m_axi_awcache), .m_axi_awprot(m_axi_awprot),
    .m_axi_awvalid(m_axi_awvalid), .m_axi_awready(m_axi_awready), .m_axi_wdata(m_axi_wdata),
    .m_axi_wstrb(m_axi_wstrb), .m_axi_wlast(m_axi_wlast), .m_axi_wvalid(m_axi_wvalid), .m_axi_wready(m_axi_wready),
    .m_axi_bid(1'b0), .m_axi_bresp(2'b00), .m_axi_bvalid(m_axi_bvalid), .m_axi_bready(m_axi_bready),
    .m_axi_arid(m_axi_arid), .m_axi_araddr(m_axi_araddr), .m_axi_arlen(m_axi_arlen), .m_axi_arsize(m_axi_arsize),
    .m_axi_arburst(m_axi_arburst), .m_axi_arcache(m_axi_arcache), .m_axi_arprot(m_axi_arprot),
    .m_axi_arvalid(m_axi_arvalid), .m_axi_arready(m_axi_arready), .m_axi_rid(1'b0), .m_axi_rdata(m_axi_rdata),
    .m_axi_rresp(m_axi_rresp), .m_axi_rlast(m_axi_rlast), .m_axi_rvalid(m_axi_rvalid), .m_axi_rready(m_axi_rready)
  );
"""

_WISHBONE = """
  // Pipelined Wishbone memory: answers from the second cycle after a transfer on, up to four transfers under way; what
  // is not in it is answered with `err`.
  wire m_wb_cyc, m_wb_stb, m_wb_we;
  wire [31:0] m_wb_adr;
  wire [8*BEAT_BYTES-1:0] m_wb_dat_w;
  wire [BEAT_BYTES-1:0] m_wb_sel;
  reg m_wb_ack, m_wb_err;
  reg [8*BEAT_BYTES-1:0] m_wb_dat_r;
  // Error and data of the transfers not answered yet.
  reg [8*BEAT_BYTES:0] answers [0:3];
  reg [2:0] taken, answered;
  wire [2:0] waiting = taken - answered;
  wire m_wb_stall = waiting == 3'd4 || pause_request;
  wire [31:0] place = m_wb_adr >> BEAT_SHIFT;
  wire [8*BEAT_BYTES:0] answer = answers[answered[1:0]];
  // What is offered stays until it is taken.
  wire [8*BEAT_BYTES+33:0] transfer = {m_wb_stb, m_wb_we, m_wb_adr, m_wb_dat_w};
  reg [8*BEAT_BYTES+33:0] transfer_held;
  reg transfer_waits;
  integer lane;
  initial begin
    illegal = 1'b0;
    transfer_waits = 1'b0;
    m_wb_ack = 1'b0;
    m_wb_err = 1'b0;
    taken = 3'd0;
    answered = 3'd0;
  end
  always @(posedge clk) if (!rst) begin
    transfer_waits <= m_wb_stb && m_wb_stall;
    transfer_held <= transfer;
    if (transfer_waits && transfer != transfer_held) illegal <= 1'b1;
    // Whole, aligned beats, inside a bus cycle that lasts until all are answered.
    if (waiting != 3'd0 && !m_wb_cyc || m_wb_stb && m_wb_we && place >= WORDS) illegal <= 1'b1;
    if (m_wb_stb && !(m_wb_cyc && &m_wb_sel && m_wb_adr == place << BEAT_SHIFT)) illegal <= 1'b1;
    if (m_wb_cyc && m_wb_stb && !m_wb_stall) begin
      answers[taken[1:0]] <= {place >= WORDS, memory[place]};
      taken <= taken + 3'd1;
      if (m_wb_we)
        for (lane = 0; lane < BEAT_BYTES; lane = lane + 1)
          if (m_wb_sel[lane]) memory[place][8*lane +: 8] <= m_wb_dat_w[8*lane +: 8];
    end
    m_wb_ack <= waiting != 3'd0 && !pause_read && !answer[8*BEAT_BYTES];
    m_wb_err <= waiting != 3'd0 && !pause_read && answer[8*BEAT_BYTES];
    if (waiting != 3'd0 && !pause_read) begin
      m_wb_dat_r <= answer[8*BEAT_BYTES-1:0];
      answered <= answered + 3'd1;
    end
  end

  // Classic Wishbone registers.
  reg s_wb_stb, s_wb_we;
  reg [ADDRESS_BITS-1:0] s_wb_adr;
  reg [31:0] s_wb_dat_w, s_wb_read;
  wire s_wb_ack, s_wb_err;
  wire [31:0] s_wb_dat_r;
  initial begin
    s_wb_stb = 1'b0;
  end

  task access_register(input [ADDRESS_BITS-1:0] address, input write, input [31:0] data);
    begin
      s_wb_adr = address;
      s_wb_dat_w = data;
      s_wb_we = write;
      s_wb_stb = 1'b1;
      @(negedge clk);
      while (!s_wb_ack && !s_wb_err) @(negedge clk);
      if (s_wb_err) $display("access to %h refused", address);
      s_wb_read = s_wb_dat_r;
      @(negedge clk);
      s_wb_stb = 1'b0;
    end
  endtask

  task write_register(input [ADDRESS_BITS-1:0] address, input [31:0] word);
    access_register(address, 1'b1, word);
  endtask

  task read_register(input [ADDRESS_BITS-1:0] address, output [31:0] word);
    begin
      access_register(address, 1'b0, 32'h0);
      word = s_wb_read;
    end
  endtask

  {top} dut (
    .clk(clk), .rst(rst), .irq(irq),
    .s_wb_cyc(s_wb_stb), .s_wb_stb(s_wb_stb), .s_wb_we(s_wb_we), .s_wb_adr(s_wb_adr), .s_wb_dat_w(s_wb_dat_w),
    .s_wb_sel(4'b1111), .s_wb_ack(s_wb_ack), .s_wb_err(s_wb_err), .s_wb_dat_r(s_wb_dat_r),
    .m_wb_cyc(m_wb_cyc), .m_wb_stb(m_wb_stb), .m_wb_we(m_wb_we), .m_wb_adr(m_wb_adr), .m_wb_dat_w(m_wb_dat_w),
    .m_wb_sel(m_wb_sel), .m_wb_stall(m_wb_stall), .m_wb_ack(m_wb_ack), .m_wb_err(m_wb_err), .m_wb_dat_r(m_wb_dat_r)
  );
"""

_BUSES = {"axi": _AXI, "wishbone": _WISHBONE}

_REGISTERS = {"ID": "ID", "CONFIGURATION": "CONFIGURATION", "CONTROL": "CONTROL", "STATUS": "STATUS",
              "ERROR": "ERROR", "PROGRAM": "PROGRAM_ADDRESS", "INTERRUPT_ENABLE": "INTERRUPT_ENABLE",
              "INTERRUPT_PENDING": "INTERRUPT_PENDING"}
"""Registers by their names in the testbench."""


def _hex(content: bytes, beat: int) -> str:
    """Words of ``beat`` bytes, the first byte lowest, one a line."""
    content += bytes(-len(content) % beat)
    return "".join(f"{content[at:at + beat][::-1].hex()}\n" for at in range(0, len(content), beat))


def first_layer(network: IntegerNetwork) -> IntegerNetwork:
    """A network's first layer by itself."""
    topology = dataclasses.replace(network.topology, layers=network.topology.layers[:1])
    return dataclasses.replace(network, topology=topology, layers=network.layers[:1])


def testbench(config: EngineConfig, bus: str, network: IntegerNetwork, image: np.ndarray,
              prefix: str = "topcoat") -> dict[str, str]:
    """Testbench and vectors for ``network`` on one stored ``image`` (int8 (height, width, channels)): texts by file
    name. ``prefix`` is that of the modules (:func:`hw.rtl.emit_rtl`).

    Raises CompileError if the network does not fit the engine.
    """
    program = compile_network(network, config)
    memory = bytearray(max(len(program.image), program.input_address + program.input_bytes,
                           program.output_address + program.output_bytes))
    memory[:len(program.image)] = program.image
    memory[program.input_address:program.input_address + program.input_bytes] = program.pack_input(image[None])
    output = slice(program.output_address, program.output_address + program.output_bytes)
    memory[output] = bytes([_UNWRITTEN]) * program.output_bytes
    memory.extend(bytes(-len(memory) % PAGE_BYTES))
    first, *others = network.topology.layers
    last = program.layers[-1]
    golden = np.ascontiguousarray(network.run(image[None])[last.name].astype(last.output_type))
    expected = golden.tobytes()
    if not np.array_equal(program.unpack_output(expected), golden):
        raise ValueError(f"layer {last.name}: its tensor is not stored as it is")
    beat = config.bus_bytes
    top = f"{prefix}_{bus}"
    bench = _BENCH.format(
        bench=BENCH, top=top, layers=f"{1 + len(others)} layers" if others else f"layer `{first.name}`",
        model=network.topology.name, beat_bytes=beat,
        beat_shift=beat.bit_length() - 1, words=len(memory) // beat, program=program.program_address,
        output=program.output_address, output_bytes=len(expected), expected_words=-(-len(expected) // beat),
        timeout=_START_CYCLES + _SLACK * program.predicted_cycles, magic=MAGIC, hash=config.hash,
        bus=_BUSES[bus].replace("{top}", top),
        bus_read=int(Error.BUS_READ), ready=FIELDS["STATUS.ready"].lsb,
        offsets=f"  localparam ADDRESS_BITS = {ADDRESS_BITS};\n" + "".join(
            f"  localparam [ADDRESS_BITS-1:0] {name} = {ADDRESS_BITS}'h{OFFSETS[register]:03x};\n"
            for name, register in _REGISTERS.items()))
    return {f"{BENCH}.v": bench, "memory.hex": _hex(bytes(memory), beat), "expected.hex": _hex(expected, beat)}
