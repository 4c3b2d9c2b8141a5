//! In browsers: nothing. Their data channels are not driven yet, so the feature adds no names there.
