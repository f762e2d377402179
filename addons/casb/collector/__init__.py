"""The log collector: receives logs by syslog, folder and FTP, keeps them on the disk, hands them to the sidecar.

Knows no log format, no app and no report: lines in, files out.
"""
