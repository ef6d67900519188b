package uring

import (
	"testing"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/headertest"
)

// TestConstantsMatchHeaders compares every number and layout written out in this
// package with those of the kernel header.
func TestConstantsMatchHeaders(t *testing.T) {
	var e SQE
	var p params
	headertest.Compare(t, "linux/io_uring.h", map[string]uint64{
		"IORING_OP_NOP": opNop, "IORING_OP_READV": opReadv, "IORING_OP_WRITEV": opWritev, "IORING_OP_FSYNC": opFsync,
		"IORING_OP_READ_FIXED": opReadFixed, "IORING_OP_FALLOCATE": opFallocate, "IORING_OP_READ": opRead, "IORING_OP_WRITE": opWrite,
		"IOSQE_FIXED_FILE": sqeFixedFile, "IORING_FSYNC_DATASYNC": fsyncDatasync, "IORING_OP_ASYNC_CANCEL": opCancel,
		"IORING_ASYNC_CANCEL_ALL": cancelAll, "IORING_ASYNC_CANCEL_ANY": cancelAny,
		"IORING_SETUP_CLAMP": setupClamp, "IORING_SETUP_SUBMIT_ALL": setupSubmitAll,
		"IORING_SETUP_R_DISABLED": setupDisabled, "IORING_REGISTER_FILES_UPDATE": registerFilesUpdate,
		"IORING_REGISTER_RESTRICTIONS": registerRestrictions, "IORING_REGISTER_ENABLE_RINGS": registerEnable,
		"IORING_RESTRICTION_REGISTER_OP": restrictRegister, "IORING_RESTRICTION_SQE_OP": restrictOp,
		"IORING_RESTRICTION_SQE_FLAGS_ALLOWED": restrictAllowed, "IORING_RESTRICTION_SQE_FLAGS_REQUIRED": restrictRequired,
		"sizeof(struct io_uring_restriction)":           uint64(unsafe.Sizeof(restriction{})),
		"offsetof(struct io_uring_restriction, sqe_op)": uint64(unsafe.Offsetof(restriction{}.what)),
		"sizeof(struct io_uring_files_update)":          uint64(unsafe.Sizeof(filesUpdate{})),
		"offsetof(struct io_uring_files_update, fds)":   uint64(unsafe.Offsetof(filesUpdate{}.fds)),
		"IORING_SETUP_COOP_TASKRUN":                     setupCoopTaskrun, "IORING_SETUP_TASKRUN_FLAG": setupTaskrunFlag,
		"IORING_FEAT_SINGLE_MMAP": featSingleMmap, "IORING_FEAT_NODROP": featNoDrop, "IORING_FEAT_SUBMIT_STABLE": featSubmitStable,
		"IORING_OFF_SQ_RING": offSQRing, "IORING_OFF_SQES": offSQEs, "IORING_ENTER_GETEVENTS": enterGetEvents,
		"IORING_SQ_TASKRUN":       sqTaskrun,
		"IORING_REGISTER_BUFFERS": registerBuffers, "IORING_REGISTER_FILES": registerFiles,
		"sizeof(struct io_uring_sqe)": uint64(unsafe.Sizeof(e)), "sizeof(struct io_uring_cqe)": uint64(unsafe.Sizeof(CQE{})),
		"sizeof(struct io_uring_params)":             uint64(unsafe.Sizeof(p)),
		"offsetof(struct io_uring_sqe, ioprio)":      uint64(unsafe.Offsetof(e.ioprio)),
		"offsetof(struct io_uring_sqe, fd)":          uint64(unsafe.Offsetof(e.fd)),
		"offsetof(struct io_uring_sqe, off)":         uint64(unsafe.Offsetof(e.off)),
		"offsetof(struct io_uring_sqe, addr)":        uint64(unsafe.Offsetof(e.addr)),
		"offsetof(struct io_uring_sqe, len)":         uint64(unsafe.Offsetof(e.len)),
		"offsetof(struct io_uring_sqe, rw_flags)":    uint64(unsafe.Offsetof(e.opFlags)),
		"offsetof(struct io_uring_sqe, user_data)":   uint64(unsafe.Offsetof(e.UserData)),
		"offsetof(struct io_uring_sqe, buf_index)":   uint64(unsafe.Offsetof(e.bufIndex)),
		"offsetof(struct io_uring_cqe, res)":         uint64(unsafe.Offsetof(CQE{}.Res)),
		"offsetof(struct io_uring_params, features)": uint64(unsafe.Offsetof(p.features)),
		"offsetof(struct io_uring_params, sq_off)":   uint64(unsafe.Offsetof(p.sq)),
		"offsetof(struct io_uring_params, cq_off)":   uint64(unsafe.Offsetof(p.cq)),
		"offsetof(struct io_sqring_offsets, array)":  uint64(unsafe.Offsetof(p.sq.array)),
		"offsetof(struct io_sqring_offsets, flags)":  uint64(unsafe.Offsetof(p.sq.flags)),
		"offsetof(struct io_cqring_offsets, cqes)":   uint64(unsafe.Offsetof(p.cq.cqes)),
	})
}
