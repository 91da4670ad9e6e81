"""How much blocks hold, ask for ahead or keep in flight: fixed in the RTL, and what predicted cycles count on."""

OUTSTANDING_BURSTS = 8
"""Read bursts that may be on their way."""

PAGE_BYTES = 4096
"""No burst crosses a multiple of it (AXI4, IHI 0022, A3.4.1)."""

COMMANDS_AHEAD = 2
"""Commands that a unit can hold besides the one it works on."""

ANS_BANKS = 2
"""Tables of code `ans` that a decoder lane holds: one in use, the other for the next layer."""
