//! What the plain values of the tracker's bodies look like in an OpenAPI document.

use crate::{
    id::{ChunkHash, ChunkIndex, FileHash, MerkleRoot, PeerId, PublicKey},
    manifest::FileName,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, SchemaFormat, Type},
    },
};

/// A text of 32 bytes in hexadecimal digits.
macro_rules! hex32 {
    ($($name:ident: $what:literal),*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($what))
                    .pattern(Some("^[0-9a-fA-F]{64}$"))
                    .into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

hex32! {
    FileHash: "The hash of a file, 32 bytes in hexadecimal; the tracker writes lower case.",
    PublicKey: "An X25519 public key, 32 bytes in hexadecimal; the tracker writes lower case.",
    MerkleRoot: "The root over a file's chunk hashes, 32 bytes in hexadecimal; the tracker writes lower case.",
    ChunkHash: "The hash of a chunk, 32 bytes in hexadecimal; the tracker writes lower case."
}

impl PartialSchema for PeerId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::Custom("uuid".to_owned())))
            .description(Some(
                "The name of a peer: a UUID of version 8 that follows from its public key.",
            ))
            .into()
    }
}

impl ToSchema for PeerId {}

impl PartialSchema for ChunkIndex {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(u32::MAX))
            .description(Some("The number of a chunk in its file, from 0."))
            .into()
    }
}

impl ToSchema for ChunkIndex {}

impl PartialSchema for FileName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(crate::name::MAX_NAME))
            .description(Some(
                "A name of a file or folder: no separators, no control characters, no device names.",
            ))
            .into()
    }
}

impl ToSchema for FileName {}
