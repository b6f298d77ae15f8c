"""Backup and restore of a catalog with its arrays, and of the models."""

from gbx_services.backup.making import Backup, make_backup
from gbx_services.backup.parts import Kind, Part, parts_of
from gbx_services.backup.restoring import Restored, check_backup, restore_backup

__all__ = [
    "Backup",
    "Kind",
    "Part",
    "Restored",
    "check_backup",
    "make_backup",
    "parts_of",
    "restore_backup",
]
