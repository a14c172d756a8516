"""What to do when memory runs out: smaller batches first, then a message that says what to lower."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from gazecut.errors import BackendError

_log = logging.getLogger(__name__)
_Made = TypeVar("_Made")

# RuntimeErrors that say it in words alone: the CPU's allocator, Metal's, and cuBLAS when it gets no workspace.
_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


class BatchLimit:
    """Most sequences of a session in one forward pass: as the recipe says, halved whenever memory runs out.

    Attributes:
        size: The limit now, at least 1.
    """

    def __init__(self, option: str, size: int, remedy: str) -> None:
        """Start with what was asked for.

        Args:
            option: The option that sets it, as `--set` takes it.
            size: Its value.
            remedy: What to lower when not even one sequence fits, one sentence.
        """
        self.size = size
        self._option, self._remedy = option, remedy
        self._told = size

    def attempt(self, sequences: int, work: Callable[[], _Made]) -> _Made | None:
        """Do what needs memory for so many sequences.

        Returns:
            What the work made; None where memory ran out. The limit is below `sequences` then, and what the work held is free.

        Raises:
            BackendError: Memory ran out with one sequence.
        """
        try:
            made = work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if sequences == 1:
                raise BackendError(
                    f"the model ran out of memory with one sequence at a time: {_first_line(error)} {self._remedy}"
                ) from error
        else:
            self._tell()
            return made
        # Only here, behind the handler, are the traceback and with it the frames that held tensors gone.
        self.size = sequences // 2
        _release()
        return None

    def _tell(self) -> None:
        if self.size < self._told:
            _log.warning(
                "memory does not suffice for %s=%d; going on with %d, which takes longer and changes no result",
                self._option,
                self._told,
                self.size,
            )
            self._told = self.size


@contextmanager
def memory_explained(remedy: str, what: str = "the model") -> Iterator[None]:
    """Turn an exhausted memory into a message.

    Args:
        remedy: What to do, one sentence.
        what: What needed it.

    Raises:
        BackendError: Memory ran out within the block.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise BackendError(f"{what} ran out of memory: {_first_line(error)} {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def _release() -> None:
    gc.collect()  # what only cycles keep alive
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # blocks of the size that failed are of no use for smaller ones


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
