//! What raft 0.7 calls of the crate `protobuf`, carried out by `prost`.
//!
//! raft names `protobuf` 2 even where its messages are prost's. That version has a known flaw
//! (RUSTSEC-2024-0437: a nested message exhausts the stack); prost limits the nesting. raft needs
//! four functions and an error, so that is all there is here.

use std::fmt;

/// Why a message could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProtobufError {
    /// The bytes are not a message of the expected kind.
    Decode(prost::DecodeError),
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtobufError::Decode(cause) => write!(to, "the bytes are not such a message: {cause}"),
        }
    }
}

impl std::error::Error for ProtobufError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProtobufError::Decode(cause) => Some(cause),
        }
    }
}

/// A message that can be measured, written and read. Every message of prost is one.
pub trait Message {
    /// How many bytes it takes when written; saturates.
    fn compute_size(&self) -> u32;

    /// Writes it.
    ///
    /// # Errors
    /// None; the signature is the one that raft expects.
    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError>;

    /// Reads a message and lays it over this one.
    ///
    /// # Errors
    /// When the bytes are not such a message; this one is then partly overwritten.
    fn merge_from_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtobufError>;

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are not such a message.
    fn parse_from_bytes(bytes: &[u8]) -> Result<Self, ProtobufError>
    where
        Self: Default,
    {
        let mut message = Self::default();
        message.merge_from_bytes(bytes)?;
        Ok(message)
    }
}

impl<M: prost::Message> Message for M {
    fn compute_size(&self) -> u32 {
        u32::try_from(self.encoded_len()).unwrap_or(u32::MAX)
    }

    fn write_to_bytes(&self) -> Result<Vec<u8>, ProtobufError> {
        Ok(self.encode_to_vec())
    }

    fn merge_from_bytes(&mut self, bytes: &[u8]) -> Result<(), ProtobufError> {
        self.merge(bytes).map_err(ProtobufError::Decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_measured_written_and_read() {
        let text = String::from("heart");
        let bytes = text.write_to_bytes().unwrap();
        assert_eq!(usize::try_from(text.compute_size()).unwrap(), bytes.len());
        assert_eq!(<String as Message>::parse_from_bytes(&bytes).unwrap(), text);
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_cause() {
        let refused = <String as Message>::parse_from_bytes(&[0x0a, 0xff]).unwrap_err();
        assert!(refused.to_string().starts_with("the bytes are not such a message: "), "{refused}");
        assert!(std::error::Error::source(&refused).is_some());
    }
}
