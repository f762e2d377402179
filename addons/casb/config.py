"""The configuration folder: casb.yaml, apps/*.yaml, ranges.yaml to values; located errors."""
