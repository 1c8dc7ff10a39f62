//! The disk that a journal works with: the operating system's. With the feature `simulation`, the same names lead to a
//! simulated one on threads that have one, so that no other file here knows the difference.

#[cfg(not(feature = "simulation"))]
pub(super) use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    os::unix::fs::MetadataExt,
};

#[cfg(not(feature = "simulation"))]
pub(super) use rustix::fs::{fallocate, fstatfs, fstatvfs};

#[cfg(feature = "simulation")]
pub(super) use crate::simulation::system::{
    self as fs, DirBuilder, File, MetadataExt, OpenOptions, fallocate, fstatfs, fstatvfs,
};
