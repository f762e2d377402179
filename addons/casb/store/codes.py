"""The codes of errors about the spool and the activity log, each with the sentence that explains it."""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "S010": "The spool's folder cannot be made. Check the owner and the free space of the data folder.",
    "S011": "A record could not be spooled, mostly because the disk is full; the proxy refuses what it cannot record.",
    "S012": "The spool could not be flushed to the disk. The disk reports errors.",
    "S013": "The folder of held bodies cannot be made or used. Check the owner of `limits.spool_folder`.",
    "S014": "No room to hold a body on disk: `limits.spool_total` is used up, or `limits.spool_free` is reached.",
    "S015": "A body could not be written to the folder of held bodies. The disk is full or reports errors.",
    "S016": "A piece of an upload could not be kept or read in the data folder. The disk is full, or reports errors.",
    "S020": "The database cannot be opened: it is missing, is not readable, or is no SQLite file.",
    "S021": "The database was made by a newer casb. Start that one, or restore a backup.",
    "S022": "The database could not be brought to the present version; it is as it was. The message names the reason.",
    "S023": "The database refused to write: the disk is full, or another program holds it. Nothing was kept.",
    "S024": "The database could not be read. Check the disk, then run `PRAGMA integrity_check`.",
    "S025": "The PostgreSQL server of `store.records` cannot be reached. Proxies keep their records until it is back.",
    "S026": "`store.records` names PostgreSQL, but its driver is not installed: install `casb[postgres]`.",
    "S030": "A line handed over as a record is no JSON object.",
    "S031": "A record lacks a field, or a field is of the wrong form; the message names it.",
    "S032": "There is no such filter, or its value cannot be one.",
    "S033": "The cursor was not given by this log. Start the search again without it.",
    "S041": "The data folder, or the token file in it, cannot be used. Check its owner.",
    "S042": "The file `sidecar.token` holds no token. Remove it; a new one is made at the next start.",
    "S043": "The file `first-run-code` holds no set-up code. Remove it; a new one is made at once.",
    "S081": "No room in the quarantine: `quarantine.limit` is used up, or its disk is nearly full. The upload was "
    "refused all the same. Delete what is not needed any more, or raise the limit.",
    "S082": "A file could not be put into the quarantine, or removed from it: the disk is full or reports errors, or "
    "the folder is not ours. The upload was refused all the same.",
    "S083": "A file is not in the quarantine any more, or is not what was put there.",
    "S084": "A file in the quarantine cannot be released or deleted as asked. The message says why.",
}
