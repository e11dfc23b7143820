package migrations

var (
	EncodeValue = encodeValue
	CommittedBy = committedBy
)
