"""What each command does, callable: typed config in, typed result out, nothing printed."""
