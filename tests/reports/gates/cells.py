"""A library of four cells with round figures: 2 V, loads in fF, energies in fJ."""

LIBERTY = """
/* of no technology */
library (round) {
  time_unit : "1ns"; voltage_unit : "1V"; nom_voltage : 2.0;
  capacitive_load_unit (1, ff);
  cell (INV) {
    area : 1;
    pin (A) { direction : input; capacitance : 1; }
    pin (Y) {
      direction : output; function : "!A";
      internal_power () {
        related_pin : "A";
        rise_power (t) { index_1 ("0.1, 0.5"); index_2 ("0, 10"); values ("3, 13", \\
          "3, 13"); }
        fall_power (t) { index_1 ("0.1, 0.5"); index_2 ("0, 10"); values ("1, 1", "1, 1"); }
      }
      timing () {
        related_pin : "A";
        cell_rise (t) { index_1 ("0.1, 0.5"); index_2 ("0, 10"); values ("0.1, 0.1", "0.1, 0.1"); }
        cell_fall (t) { index_1 ("0.1, 0.5"); index_2 ("0, 10"); values ("0.1, 0.1", "0.1, 0.1"); }
        rise_transition (t) { index_1 ("0.1, 0.5"); index_2 ("0, 8"); values ("0.0, 0.4", "0.0, 0.4"); }
        fall_transition (t) { index_1 ("0.1, 0.5"); index_2 ("0, 8"); values ("0.0, 0.8", "0.0, 0.8"); }
      }
    }
  }
  cell ("XOR2") {
    area : 3;
    pg_pin (VDD) { pg_type : primary_power; }
    pg_pin (VSS) { pg_type : primary_ground; }
    pin (A) {
      direction : input; capacitance : 2;
      internal_power () { rise_power (scalar) { values ("1.0"); } fall_power (scalar) { values ("0"); } }
    }
    pin (B) { direction : input; capacitance : 2; }
    pin (Y) {
      direction : output; function : "A B' + A' B";
      internal_power () {
        related_pg_pin : VDD; rise_power (scalar) { values ("4"); } fall_power (scalar) { values ("4"); }
      }
      internal_power () {
        related_pg_pin : VSS; rise_power (scalar) { values ("9"); } fall_power (scalar) { values ("9"); }
      }
      timing () { cell_rise (scalar) { values ("0.25"); } cell_fall (scalar) { values ("0.25"); } }
    }
  }
  cell (DFF) {
    area : 5;
    ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
    pin (D) { direction : input; capacitance : 1; }
    pin (CK) {
      direction : input; clock : true; capacitance : 1.5;
      internal_power () { rise_power (scalar) { values ("2"); } fall_power (scalar) { values ("1"); } }
      internal_power () {
        when : "(D & !Q) | (!D & Q)"; rise_power (scalar) { values ("0"); } fall_power (scalar) { values ("1"); }
      }
    }
    pin (Q) {
      direction : output; function : "IQ";
      internal_power () { rise_power (scalar) { values ("6"); } fall_power (scalar) { values ("6"); } }
      timing () { cell_rise (scalar) { values ("0.2"); } cell_fall (scalar) { values ("0.2"); } }
    }
    pin (QN) {
      direction : output; function : "IQN";
      timing () { cell_rise (scalar) { values ("0.2"); } cell_fall (scalar) { values ("0.2"); } }
    }
  }
  cell (LATCH) {
    area : 4;
    latch (IQ, IQN) { enable : "G"; data_in : "D"; }
    pin (D) { direction : input; capacitance : 1; }
    pin (G) { direction : input; capacitance : 1; }
    pin (Q) { direction : output; function : "IQ"; }
  }
}
"""
"""A transition takes 2 fJ inside an inverter without a load, 4 in an XOR, 6 in a flip-flop, and .5 at the first input
of an XOR. A flip-flop's clock pin takes 3 fJ in a cycle, 1 in one that changes its state."""
