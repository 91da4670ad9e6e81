// Behaviour of the ECP5's block RAM and multiplier, which Yosys's simulation models leave empty, in the modes that its
// `synth_ecp5` puts them in and reports/equivalence.py lists. Pins and parameters have the vendor's names. Last, a switch
// for tests.

// Block RAM: 512 words of four 9-bit bytes, and two ports with one clock.
//
// Operation: with CE, a port reads the unit of DATA_WIDTH bits at AD, an address of single bits; a unit of less than
// 9 bits is of a byte's lower eight. With WE it writes as well, and what it reads is the old content (READBEFOREWRITE),
// the new one (WRITETHROUGH), or its output stays (NORMAL). Low bits of AD enable the bytes of 18 or 36 bits that are
// written. A unit of 36 bits has its lower half at the pins of port A and its upper half at those of port B: port A
// then only writes, and port B only reads. What a port reads of bits that the other one writes at the same time is
// unknown on the device; here it is wrong on purpose, their complement.
//
// Latency: 1 cycle.
module DP16KD (
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
    DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CLKA, CEA, WEA, OCEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
    DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
    DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CLKB, CEB, WEB, OCEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
    DOB1, DOB0
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    // Of one value each in all modes.
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", CSDECODE_A = "0b000", CSDECODE_B = "0b000";
    parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED";
    // Each is of 16 half words, 20 bits apart.
    parameter [319:0]
        INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0, INITVAL_04 = 0, INITVAL_05 = 0,
        INITVAL_06 = 0, INITVAL_07 = 0, INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0,
        INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0, INITVAL_10 = 0, INITVAL_11 = 0,
        INITVAL_12 = 0, INITVAL_13 = 0, INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0,
        INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0, INITVAL_1C = 0, INITVAL_1D = 0,
        INITVAL_1E = 0, INITVAL_1F = 0, INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0,
        INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0, INITVAL_28 = 0, INITVAL_29 = 0,
        INITVAL_2A = 0, INITVAL_2B = 0, INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0,
        INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0, INITVAL_34 = 0, INITVAL_35 = 0,
        INITVAL_36 = 0, INITVAL_37 = 0, INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
        INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0;

    reg [35:0] memory [0:511];
    integer i;
    task fill(input [8:0] first, input [319:0] content);
        for (i = 0; i < 8; i = i + 1) memory[first + i] = {content[40 * i + 20 +: 18], content[40 * i +: 18]};
    endtask
    initial begin
        fill(9'd0, INITVAL_00); fill(9'd8, INITVAL_01); fill(9'd16, INITVAL_02); fill(9'd24, INITVAL_03);
        fill(9'd32, INITVAL_04); fill(9'd40, INITVAL_05); fill(9'd48, INITVAL_06); fill(9'd56, INITVAL_07);
        fill(9'd64, INITVAL_08); fill(9'd72, INITVAL_09); fill(9'd80, INITVAL_0A); fill(9'd88, INITVAL_0B);
        fill(9'd96, INITVAL_0C); fill(9'd104, INITVAL_0D); fill(9'd112, INITVAL_0E); fill(9'd120, INITVAL_0F);
        fill(9'd128, INITVAL_10); fill(9'd136, INITVAL_11); fill(9'd144, INITVAL_12); fill(9'd152, INITVAL_13);
        fill(9'd160, INITVAL_14); fill(9'd168, INITVAL_15); fill(9'd176, INITVAL_16); fill(9'd184, INITVAL_17);
        fill(9'd192, INITVAL_18); fill(9'd200, INITVAL_19); fill(9'd208, INITVAL_1A); fill(9'd216, INITVAL_1B);
        fill(9'd224, INITVAL_1C); fill(9'd232, INITVAL_1D); fill(9'd240, INITVAL_1E); fill(9'd248, INITVAL_1F);
        fill(9'd256, INITVAL_20); fill(9'd264, INITVAL_21); fill(9'd272, INITVAL_22); fill(9'd280, INITVAL_23);
        fill(9'd288, INITVAL_24); fill(9'd296, INITVAL_25); fill(9'd304, INITVAL_26); fill(9'd312, INITVAL_27);
        fill(9'd320, INITVAL_28); fill(9'd328, INITVAL_29); fill(9'd336, INITVAL_2A); fill(9'd344, INITVAL_2B);
        fill(9'd352, INITVAL_2C); fill(9'd360, INITVAL_2D); fill(9'd368, INITVAL_2E); fill(9'd376, INITVAL_2F);
        fill(9'd384, INITVAL_30); fill(9'd392, INITVAL_31); fill(9'd400, INITVAL_32); fill(9'd408, INITVAL_33);
        fill(9'd416, INITVAL_34); fill(9'd424, INITVAL_35); fill(9'd432, INITVAL_36); fill(9'd440, INITVAL_37);
        fill(9'd448, INITVAL_38); fill(9'd456, INITVAL_39); fill(9'd464, INITVAL_3A); fill(9'd472, INITVAL_3B);
        fill(9'd480, INITVAL_3C); fill(9'd488, INITVAL_3D); fill(9'd496, INITVAL_3E); fill(9'd504, INITVAL_3F);
    end

    // A port's unit within a word, where it is, and the bits of it that a write changes.
    function [35:0] unit(input integer width);
        unit = {36{1'b1}} >> (36 - width);
    endfunction

    function [5:0] place(input integer width, input [4:0] address);
        place = (width <= 18 ? 6'd18 * address[4] : 6'd0) + (width <= 9 ? 6'd9 * address[3] : 6'd0)
            + (width <= 4 ? 6'd4 * address[2] : 6'd0) + (width <= 2 ? 6'd2 * address[1] : 6'd0)
            + (width <= 1 ? address[0] : 6'd0);
    endfunction

    function [35:0] enabled(input integer width, input [3:0] bytes);
        enabled = width == 36 ? {{9{bytes[3]}}, {9{bytes[2]}}, {9{bytes[1]}}, {9{bytes[0]}}}
            : width == 18 ? {18'd0, {9{bytes[1]}}, {9{bytes[0]}}} : unit(width);
    endfunction

    wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [17:0] low_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
    DIA3, DIA2, DIA1, DIA0};
    wire [17:0] low_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
    DIB3, DIB2, DIB1, DIB0};
    wire [35:0] data_a = {DATA_WIDTH_A == 36 ? low_b : 18'd0, low_a} << place_a, data_b = {18'd0, low_b} << place_b;
    wire [5:0] place_a = place(DATA_WIDTH_A, address_a[4:0]), place_b = place(DATA_WIDTH_B, address_b[4:0]);
    wire [35:0] changed_a = CEA && WEA ? enabled(DATA_WIDTH_A, address_a[3:0]) << place_a : 36'd0;
    wire [35:0] changed_b = CEB && WEB ? enabled(DATA_WIDTH_B, address_b[3:0]) << place_b : 36'd0;
    wire same = address_a[13:5] == address_b[13:5];

    reg [35:0] old_a, old_b, read_a, read_b;
    initial {read_a, read_b} = 72'd0;
    always @(posedge CLKA) begin
        old_a = memory[address_a[13:5]];
        old_b = memory[address_b[13:5]];
        if (CEA && (!WEA || WRITEMODE_A != "NORMAL"))
            read_a <= ((WRITEMODE_A == "WRITETHROUGH" ? old_a & ~changed_a | data_a & changed_a : old_a)
                ^ (same ? changed_b : 36'd0)) >> place_a & unit(DATA_WIDTH_A);
        if (CEB && (!WEB || WRITEMODE_B != "NORMAL"))
            read_b <= ((WRITEMODE_B == "WRITETHROUGH" ? old_b & ~changed_b | data_b & changed_b : old_b)
                ^ (same ? changed_a : 36'd0)) >> place_b & unit(DATA_WIDTH_B);
        if (CEA && WEA) memory[address_a[13:5]] = old_a & ~changed_a | data_a & changed_a;
        if (CEB && WEB) memory[address_b[13:5]] = memory[address_b[13:5]] & ~changed_b | data_b & changed_b;
    end

    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
    DOA1, DOA0} = DATA_WIDTH_B == 36 ? read_b[17:0] : read_a[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
    DOB1, DOB0} = DATA_WIDTH_B == 36 ? read_b[35:18] : read_b[17:0];
endmodule

// Multiplier of two numbers of 18 bits, each signed or not, without registers.
//
// Latency: 0.
module MULT18X18D (
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
    P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    wire signed [18:0] a = {SIGNEDA & A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1,
    A0};
    wire signed [18:0] b = {SIGNEDB & B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1,
    B0};
    wire signed [37:0] product = a * b;
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
    P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = product[35:0];
endmodule

// What reports/equivalence.py puts behind a LUT4, to see whether a wrong netlist is found: the LUT's output, of which the
// simulator's argument `+flip=NUMBER` inverts the bit for inputs that are all 0.
//
// Latency: 0.
module TABLE_FLIP (
    input A, B, C, D, right,
    output Z
);
    parameter NUMBER = 1;

`ifndef YOSYS  // It reads the ports, and does not know this function.
    integer number;
    initial if (!$value$plusargs("flip=%d", number)) number = 0;
    assign Z = right ^ (number == NUMBER && !(A || B || C || D));
`endif
endmodule
