"""What the store's and the database's own errors mean in terms of the catalogue (`service.errors`). One place, for web, worker and commands."""

import errno

import storage.base as store
from schema.session import DatabaseTrouble, trouble_of
from service.errors import (
    DatabaseBusy,
    DatabaseFull,
    DatabaseTimeout,
    DatabaseUnavailable,
    ObjectLost,
    PixrefError,
    StorageAuth,
    StorageBusy,
    StorageClockSkew,
    StorageFull,
    StorageMisconfigured,
    StorageTimeout,
    StorageUnavailable,
    TempFull,
)


def translate(exc: Exception) -> PixrefError | None:
    """Return the catalogue's error for one of the store or the database, None when it is a bug of ours.

    Details are fixed sentences: a vendor's message may name hosts, keys and statements, which belong into the log.
    """
    if isinstance(exc, PixrefError):
        return exc
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        # Uploads are spooled to disk; what was written so far is gone with its file.
        return TempFull("the disk that holds uploads on their way is full: try again, or tell whoever runs this service")
    if isinstance(exc, store.StoreTimeout):
        return StorageTimeout("the picture store did not answer in time: try again")
    if isinstance(exc, store.StoreFull):
        return StorageFull("the picture store has no space left: tell whoever runs it")
    if isinstance(exc, store.ObjectNotFound):
        return ObjectLost("the bytes are not in the store")
    if isinstance(exc, store.StoreBusy):
        return StorageBusy("the picture store asks for a pause: try again")
    if isinstance(exc, store.StoreDenied):
        return StorageAuth("the picture store does not accept this service's key: tell whoever runs it, `pixref doctor` says why")
    if isinstance(exc, store.StoreClockSkew):
        return StorageClockSkew("this service's clock and the picture store's differ by more than a minute: set both by NTP")
    if isinstance(exc, store.StoreMisconfigured):
        return StorageMisconfigured("the picture store refuses this service: `pixref doctor` says why")
    if isinstance(exc, store.StoreError):
        return StorageUnavailable("the picture store cannot be reached: try again")
    match trouble_of(exc):
        case DatabaseTrouble.BUSY:
            return DatabaseBusy("the database has no free connection: try again")
        case DatabaseTrouble.TIMEOUT:
            return DatabaseTimeout("the database did not answer in time: try again")
        case DatabaseTrouble.FULL:
            return DatabaseFull("the database has no space left: tell whoever runs it")
        case DatabaseTrouble.READ_ONLY:
            return DatabaseUnavailable("the database only reads at the moment: try again")
        case DatabaseTrouble.UNAVAILABLE:
            return DatabaseUnavailable("the database cannot be reached: try again")
    return None
