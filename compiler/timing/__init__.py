"""How many cycles a program takes."""

from compiler.timing.memory import IDEAL, Memory
from compiler.timing.model import Prediction, predict

__all__ = ["IDEAL", "Memory", "Prediction", "predict"]
