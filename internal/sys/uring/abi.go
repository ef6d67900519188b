package uring

// Operations (enum io_uring_op).
const (
	opNop       = 0
	opReadv     = 1
	opWritev    = 2
	opFsync     = 3
	opReadFixed = 4
	opCancel    = 14
	opFallocate = 17
	opRead      = 22
	opWrite     = 23
)

// Flags of an SQE, and of the operations in it.
const (
	sqeFixedFile  = 1 << 0
	fsyncDatasync = 1 << 0
	cancelAll     = 1 << 0
	cancelAny     = 1 << 2
)

// Flags of io_uring_setup(2).
const (
	setupClamp       = 1 << 4
	setupDisabled    = 1 << 6
	setupSubmitAll   = 1 << 7
	setupCoopTaskrun = 1 << 8
	setupTaskrunFlag = 1 << 9
)

// What kernels offer (io_uring_params.features).
const (
	featSingleMmap   = 1 << 0
	featNoDrop       = 1 << 1
	featSubmitStable = 1 << 2
)

// Offsets for mmap(2) of a ring's descriptor.
const (
	offSQRing = 0
	offSQEs   = 0x10000000
)

const (
	enterGetEvents = 1 << 0
	sqTaskrun      = 1 << 2
)

// Operations of io_uring_register(2).
const (
	registerBuffers      = 0
	registerFiles        = 2
	registerFilesUpdate  = 6
	registerRestrictions = 11
	registerEnable       = 12
)

// Kinds of restrictions (enum io_uring_register_restriction_op).
const (
	restrictRegister = 0 // an operation of io_uring_register is allowed
	restrictOp       = 1 // an operation is allowed
	restrictAllowed  = 2 // flags of an SQE that are allowed
	restrictRequired = 3 // flags that each SQE must have
)

// restriction is struct io_uring_restriction, 16 bytes.
type restriction struct {
	kind uint16
	what uint8 // an operation, or flags
	_    uint8
	_    [3]uint32
}

// filesUpdate is struct io_uring_files_update, 16 bytes.
type filesUpdate struct {
	offset uint32
	_      uint32
	fds    uint64 // the address of the list
}

// SQE is a request: struct io_uring_sqe, 64 bytes.
type SQE struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64
	addr     uint64
	len      uint32
	opFlags  uint32
	UserData uint64 // comes back in the CQE
	bufIndex uint16
	_        uint16
	_        int32
	_        [2]uint64
}

// CQE is an answer: struct io_uring_cqe, 16 bytes.
type CQE struct {
	UserData uint64
	Res      int32 // what the system call would return: -errno for an error
	Flags    uint32
}

// params is struct io_uring_params, 120 bytes.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     sqOffsets
	cq                                                                     cqOffsets
}

// sqOffsets is struct io_sqring_offsets.
type sqOffsets struct {
	head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
	_                                                           uint64
}

// cqOffsets is struct io_cqring_offsets.
type cqOffsets struct {
	head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
	_                                                           uint64
}
