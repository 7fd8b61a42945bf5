//! Requests of honest and hostile clients, however their bytes are cut.
