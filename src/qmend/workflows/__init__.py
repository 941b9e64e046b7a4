"""Commands as functions: typed config in, typed result out, nothing printed."""
