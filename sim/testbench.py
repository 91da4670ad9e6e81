"""A testbench in plain Verilog-2001 with the vectors of one layer: it loads a memory image, runs the program over the
accelerator's buses, holds the output against the integer model's, and says PASS or FAIL."""

from __future__ import annotations

import dataclasses

import numpy as np

from arch.config import EngineConfig
from arch.depths import PAGE_BYTES
from arch.descriptor import MAGIC
from arch.registers import ADDRESS_BITS, OFFSETS
from compiler import compile_network
from golden.integer import IntegerNetwork

__all__ = ["BENCH", "testbench"]

BENCH = "topcoat_tb"
"""The testbench's module."""

_UNWRITTEN = 0xA5
"""What the output's bytes hold before the run."""

_SLACK = 4
"""Cycles that a run may take, as a multiple of the prediction for a memory that never pauses."""

_BENCH = """\
// SPDX-License-Identifier: Apache-2.0
// Self-checking testbench of {top}: layer `{layer}` of model {model}, one image.
// Wants memory.hex and expected.hex in the folder it runs in; prints one line that begins with PASS or FAIL.
module {bench};
  // Bytes of a beat; memory and output, in beats and bytes.
  localparam BEAT_BYTES = {beat_bytes}, BEAT_SHIFT = {beat_shift}, WORDS = {words};
  localparam [31:0] PROGRAM_ADDRESS = 32'h{program:08x}, OUTPUT_ADDRESS = 32'h{output:08x};
  localparam OUTPUT_BYTES = {output_bytes}, EXPECTED_WORDS = {expected_words};
  localparam TIMEOUT_CYCLES = {timeout};
  // Registers (docs/registers.md).
{offsets}
  reg clk, rst;
  integer cycles;
  initial begin
    clk = 1'b0;
    cycles = 0;
  end
  always #5 clk = ~clk;

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
      write_register(PROGRAM, PROGRAM_ADDRESS);
      write_register(INTERRUPT_ENABLE, 32'h1);
      write_register(CONTROL, 32'h1);
      while (!irq && cycles < TIMEOUT_CYCLES) begin
        @(negedge clk);
        cycles = cycles + 1;
      end
      read_register(ERROR, value);
      if (!irq) $display("FAIL: no interrupt after %0d cycles", cycles);
      else if (value != 32'h0) $display("FAIL: the program ended with error %0d", value);
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
        if (wrong == 0) $display("PASS: {layer}, %0d bytes, %0d cycles", OUTPUT_BYTES, cycles);
        else $display("FAIL: %0d of %0d bytes are wrong", wrong, OUTPUT_BYTES);
      end
    end
    $finish;
  end
endmodule
"""

_AXI = """
  // AXI4 memory: a burst of each kind at a time.
  wire m_axi_awid, m_axi_arid, m_axi_awvalid, m_axi_arvalid, m_axi_wlast, m_axi_wvalid, m_axi_bready, m_axi_rready;
  wire [31:0] m_axi_awaddr, m_axi_araddr;
  wire [7:0] m_axi_awlen, m_axi_arlen;
  wire [2:0] m_axi_awsize, m_axi_arsize, m_axi_awprot, m_axi_arprot;
  wire [1:0] m_axi_awburst, m_axi_arburst;
  wire [3:0] m_axi_awcache, m_axi_arcache;
  wire [8*BEAT_BYTES-1:0] m_axi_wdata;
  wire [BEAT_BYTES-1:0] m_axi_wstrb;
  reg m_axi_bvalid, m_axi_rvalid, m_axi_rlast;
  reg [8*BEAT_BYTES-1:0] m_axi_rdata;
  reg reading, writing;
  reg [31:0] read_word, write_word;
  reg [8:0] read_left;
  wire m_axi_arready = !reading && !pause_request;
  wire m_axi_awready = !writing && !m_axi_bvalid && !pause_request;
  wire pause_write = noise[9:8] == 2'b00;
  wire m_axi_wready = writing && !m_axi_bvalid && !pause_write;
  integer lane;
  // Beats still to come of the burst that is being written.
  reg [8:0] write_left;
  initial begin
    illegal = 1'b0;
    m_axi_bvalid = 1'b0;
    m_axi_rvalid = 1'b0;
    m_axi_rlast = 1'b0;
    reading = 1'b0;
    writing = 1'b0;
  end
  always @(posedge clk) begin
    if (m_axi_arvalid && m_axi_arready) begin
      reading <= 1'b1;
      read_word <= m_axi_araddr >> BEAT_SHIFT;
      read_left <= {1'b0, m_axi_arlen} + 9'd1;
    end
    if (m_axi_rvalid && m_axi_rready) begin
      m_axi_rvalid <= 1'b0;
      if (m_axi_rlast) reading <= 1'b0;
    end
    if (reading && read_left != 9'd0 && (!m_axi_rvalid || m_axi_rready) && !pause_read) begin
      m_axi_rvalid <= 1'b1;
      m_axi_rdata <= memory[read_word];
      m_axi_rlast <= read_left == 9'd1;
      read_word <= read_word + 32'd1;
      read_left <= read_left - 9'd1;
    end
    if (m_axi_awvalid && m_axi_awready) begin
      writing <= 1'b1;
      write_word <= m_axi_awaddr >> BEAT_SHIFT;
      write_left <= {1'b0, m_axi_awlen};
    end
    if (m_axi_wvalid && m_axi_wready) begin
      for (lane = 0; lane < BEAT_BYTES; lane = lane + 1)
        if (m_axi_wstrb[lane]) memory[write_word][8*lane +: 8] <= m_axi_wdata[8*lane +: 8];
      write_word <= write_word + 32'd1;
      write_left <= write_left - 9'd1;
      if (m_axi_wlast != (write_left == 9'd0)) illegal <= 1'b1;
      if (m_axi_wlast) m_axi_bvalid <= 1'b1;
    end
    // One ID, whole beats, INCR, not bufferable, no privileges.
    if (m_axi_awvalid && {m_axi_awid, m_axi_awsize, m_axi_awburst, m_axi_awcache, m_axi_awprot}
        != {1'b0, BEAT_SHIFT[2:0], 2'b01, 4'b0010, 3'b000}) illegal <= 1'b1;
    if (m_axi_arvalid && {m_axi_arid, m_axi_arsize, m_axi_arburst, m_axi_arcache, m_axi_arprot}
        != {1'b0, BEAT_SHIFT[2:0], 2'b01, 4'b0010, 3'b000}) illegal <= 1'b1;
    if (m_axi_bvalid && m_axi_bready) begin
      m_axi_bvalid <= 1'b0;
      writing <= 1'b0;
    end
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

  topcoat_axi dut (
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
    .m_axi_rresp(2'b00), .m_axi_rlast(m_axi_rlast), .m_axi_rvalid(m_axi_rvalid), .m_axi_rready(m_axi_rready)
  );
"""

_WISHBONE = """
  // Pipelined Wishbone memory: answers from the second cycle after a transfer on, up to four transfers under way.
  wire m_wb_cyc, m_wb_stb, m_wb_we;
  wire [31:0] m_wb_adr;
  wire [8*BEAT_BYTES-1:0] m_wb_dat_w;
  wire [BEAT_BYTES-1:0] m_wb_sel;
  reg m_wb_ack;
  reg [8*BEAT_BYTES-1:0] m_wb_dat_r;
  // Data of the transfers not answered yet.
  reg [8*BEAT_BYTES-1:0] answers [0:3];
  reg [2:0] taken, answered;
  wire [2:0] waiting = taken - answered;
  wire m_wb_stall = waiting == 3'd4 || pause_request;
  wire [31:0] place = m_wb_adr >> BEAT_SHIFT;
  integer lane;
  initial begin
    m_wb_ack = 1'b0;
    taken = 3'd0;
    answered = 3'd0;
  end
  always @(posedge clk) begin
    // Whole, aligned beats, inside a bus cycle.
    if (m_wb_stb && !(m_wb_cyc && &m_wb_sel && m_wb_adr == place << BEAT_SHIFT)) illegal <= 1'b1;
    if (m_wb_cyc && m_wb_stb && !m_wb_stall) begin
      answers[taken[1:0]] <= memory[place];
      taken <= taken + 3'd1;
      if (m_wb_we)
        for (lane = 0; lane < BEAT_BYTES; lane = lane + 1)
          if (m_wb_sel[lane]) memory[place][8*lane +: 8] <= m_wb_dat_w[8*lane +: 8];
    end
    m_wb_ack <= waiting != 3'd0 && !pause_read;
    if (waiting != 3'd0 && !pause_read) begin
      m_wb_dat_r <= answers[answered[1:0]];
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
    illegal = 1'b0;
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

  topcoat_wishbone dut (
    .clk(clk), .rst(rst), .irq(irq),
    .s_wb_cyc(s_wb_stb), .s_wb_stb(s_wb_stb), .s_wb_we(s_wb_we), .s_wb_adr(s_wb_adr), .s_wb_dat_w(s_wb_dat_w),
    .s_wb_sel(4'b1111), .s_wb_ack(s_wb_ack), .s_wb_err(s_wb_err), .s_wb_dat_r(s_wb_dat_r),
    .m_wb_cyc(m_wb_cyc), .m_wb_stb(m_wb_stb), .m_wb_we(m_wb_we), .m_wb_adr(m_wb_adr), .m_wb_dat_w(m_wb_dat_w),
    .m_wb_sel(m_wb_sel), .m_wb_stall(m_wb_stall), .m_wb_ack(m_wb_ack), .m_wb_err(1'b0), .m_wb_dat_r(m_wb_dat_r)
  );
"""

_BUSES = {"axi": _AXI, "wishbone": _WISHBONE}

_REGISTERS = {"ID": "ID", "CONFIGURATION": "CONFIGURATION", "CONTROL": "CONTROL", "ERROR": "ERROR",
              "PROGRAM": "PROGRAM_ADDRESS", "INTERRUPT_ENABLE": "INTERRUPT_ENABLE"}
"""Registers by their names in the testbench."""


def _hex(content: bytes, beat: int) -> str:
    """Words of ``beat`` bytes, the first byte lowest, one a line."""
    content += bytes(-len(content) % beat)
    return "".join(f"{content[at:at + beat][::-1].hex()}\n" for at in range(0, len(content), beat))


def testbench(config: EngineConfig, bus: str, network: IntegerNetwork, image: np.ndarray) -> dict[str, str]:
    """Testbench and vectors for the first layer of ``network`` on one stored ``image`` (int8 (height, width,
    channels)): texts by file name.

    Raises CompileError if the layer does not fit the engine.
    """
    first = network.topology.layers[0]
    topology = dataclasses.replace(network.topology, layers=(first,))
    layer = dataclasses.replace(network, topology=topology, layers=network.layers[:1])
    program = compile_network(layer, config)
    memory = bytearray(max(len(program.image), program.input_address + program.input_bytes,
                           program.output_address + program.output_bytes))
    memory[:len(program.image)] = program.image
    memory[program.input_address:program.input_address + program.input_bytes] = program.pack_input(image[None])
    output = slice(program.output_address, program.output_address + program.output_bytes)
    memory[output] = bytes([_UNWRITTEN]) * program.output_bytes
    memory.extend(bytes(-len(memory) % PAGE_BYTES))
    golden = np.ascontiguousarray(layer.run(image[None])[first.name])
    if not np.array_equal(program.unpack_output(golden.tobytes()), golden):
        raise ValueError(f"layer {first.name}: its tensor is not stored as it is")
    beat = config.bus_bytes
    expected = golden.tobytes()
    bench = _BENCH.format(
        bench=BENCH, top=f"topcoat_{bus}", layer=first.name, model=network.topology.name, beat_bytes=beat,
        beat_shift=beat.bit_length() - 1, words=len(memory) // beat, program=program.program_address,
        output=program.output_address, output_bytes=len(expected), expected_words=-(-len(expected) // beat),
        timeout=_SLACK * program.predicted_cycles, magic=MAGIC, hash=config.hash, bus=_BUSES[bus],
        offsets=f"  localparam ADDRESS_BITS = {ADDRESS_BITS};\n" + "".join(
            f"  localparam [ADDRESS_BITS-1:0] {name} = {ADDRESS_BITS}'h{OFFSETS[register]:03x};\n"
            for name, register in _REGISTERS.items()))
    return {f"{BENCH}.v": bench, "memory.hex": _hex(bytes(memory), beat), "expected.hex": _hex(expected, beat)}
