"""What was computed once, kept on disk: answers, maps, tracklets and tracks, found again by what they were made of."""

from gazecut.cache.digests import digest, digest_arrays, digest_files
from gazecut.cache.store import Entry, Store, Stored, default_folder, default_limit, usage

__all__ = ["Entry", "Store", "Stored", "default_folder", "default_limit", "digest", "digest_arrays", "digest_files", "usage"]
