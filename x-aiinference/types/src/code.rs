//! The one table of error codes, used by imports, IBC, registry and CLI. A code, once released, keeps its meaning.

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// What went wrong, as a stable number. `docs/spec/errors.md` lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl ErrorCode {
            /// All codes, ascending.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)+];

            /// The code of a number, if this version knows it.
            pub fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($code => Some(ErrorCode::$name),)+
                    _ => None,
                }
            }

            /// The code's stable name, as in the docs.
            pub fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$name => stringify!($name),)+
                }
            }
        }
    };
}

error_codes! {
    /// The request's bytes are no `aiinference.v1.Request`.
    MalformedRequest = 1,
    /// The request is larger than the limit.
    RequestTooLarge = 2,
    /// The request's ABI version or operation is not known to this host.
    UnsupportedOperation = 3,
    /// The plan has no steps or too many, or refers to a step or output that does not exist.
    InvalidPlan = 4,
    /// The answer would be larger than the limit.
    ResponseTooLarge = 5,
    /// No code is stored under the code id.
    UnknownCodeId = 10,
    /// The code behind the reference has another checksum than the request expects.
    ChecksumMismatch = 11,
    /// The code exists but carries no model.
    NotAModel = 12,
    /// The code carries a model that fails validation.
    InvalidModel = 13,
    /// The stored model is larger than the limit.
    ModelTooLarge = 14,
    /// This node could not read the code that the chain says exists. A fault of the node, never of the caller.
    NodeFault = 15,
    /// The chain's own query for the code failed.
    ChainQueryFailed = 16,
    /// No code is stored under the code id of one of the model's shards.
    ShardMissing = 17,
    /// The code behind one of the model's shards has another checksum than the manifest states.
    ShardReplaced = 18,
    /// The model has no input of that name.
    UnknownInput = 20,
    /// An input of the model was given no value.
    MissingInput = 21,
    /// An input was given two values.
    DuplicateInput = 22,
    /// The tensor's shape is not the input's.
    ShapeMismatch = 23,
    /// The tensor's bytes do not fit its type and shape, or its type or format is not allowed.
    MalformedTensor = 24,
    /// A value is out of the input's range and the model refuses such.
    OutOfRange = 25,
    /// The price is above the gas limit that the request set.
    GasLimitExceeded = 30,
    /// The time is over until which an answer from another chain was wanted.
    Expired = 40,
    /// The answering chain asks a price and takes no such coins.
    UnknownDenom = 41,
    /// The price is above the largest that the query accepts.
    PriceExceeded = 42,
    /// The asker has too little credit on the answering chain.
    InsufficientCredit = 43,
    /// The packet asks for more gas than the answering contract spends on one.
    GasLimitTooHigh = 44,
    /// A contract's state on the answering chain could not be read.
    ReadFailed = 45,
    /// What was read holds no such numbers.
    NotNumbers = 46,
    /// The coins could not be paid out.
    PaymentFailed = 47,
    /// The packet was not relayed in time.
    TimedOut = 50,
    /// The answering chain refused the packet before its contract answered.
    RefusedByChain = 51,
    /// The acknowledgement is no answer to the packet.
    MalformedAnswer = 52,
    /// The channel was closed before an answer came.
    Abandoned = 53,
    /// The code exists but carries no circuit.
    NotACircuit = 60,
    /// The code carries a circuit that fails validation.
    InvalidCircuit = 61,
    /// The circuit's proofs are of a scheme that this host does not know.
    UnknownScheme = 62,
    /// The circuit was made with a structured reference string that the request does not accept.
    SrsNotAccepted = 63,
    /// The circuit cannot be rebuilt from its models, and the request does not accept such.
    UnreproducibleCircuit = 64,
    /// The proof has another length than those of the circuit.
    WrongProofLength = 65,
    /// The values given are not those that the circuit has: one is missing, unknown or given twice.
    InstanceMismatch = 66,
    /// A hash is not 32 bytes of a number below the field's order.
    MalformedHash = 67,
    /// Checking the proof ran out of the verifier's own gas or halted, which no honest circuit makes it do.
    VerifierHalted = 68,
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.name(), *self as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn every_code_is_found_by_its_number_and_none_repeats() {
        let mut last = 0;
        for code in ErrorCode::ALL {
            assert!(*code as u32 > last);
            last = *code as u32;
            assert_eq!(ErrorCode::from_number(last), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0), None);
        assert_eq!(ErrorCode::from_number(9999), None);
    }

    #[test]
    fn the_documents_table_lists_every_code_with_its_number_and_name() {
        let page = include_str!("../../../docs/spec/errors.md");
        let listed = page.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?.parse::<u32>().ok()?, cells.next()?))
        });
        assert!(listed.eq(ErrorCode::ALL.iter().map(|code| (*code as u32, code.name()))));
    }
}
