"""The data contract: schema, manifest, shards, splits, tables, cards."""
