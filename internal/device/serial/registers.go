package serial

// Size is the number of ports that a UART takes.
const Size = 8

// Register offsets (National Semiconductor PC16550D data sheet, table II; the
// names are those of Linux' include/uapi/linux/serial_reg.h). While LCR's DLAB
// bit is set, offsets 0 and 1 are the divisor latch.
const (
	regData = 0 // RBR when read, THR when written; DLL with DLAB
	regIER  = 1 // interrupt enable; DLM with DLAB
	regIIR  = 2 // interrupt identification when read, FCR when written
	regLCR  = 3 // line control
	regMCR  = 4 // modem control
	regLSR  = 5 // line status, read only
	regMSR  = 6 // modem status, read only
	regSCR  = 7 // scratch
)

const (
	ierRDI  = 0x01 // received data available
	ierTHRI = 0x02 // transmit holding register empty
	ierRLSI = 0x04 // receiver line status
	ierMSI  = 0x08 // modem status
	ierMask = 0x0F // a 16550A has no more; Linux tells UARTs apart by the rest
)

// Interrupt identification, highest priority first.
const (
	iirRLS     = 0x06
	iirRDA     = 0x04
	iirTimeout = 0x0C // data below the trigger level, and no more for four characters' time
	iirTHRE    = 0x02
	iirMSI     = 0x00
	iirNone    = 0x01
	iirFIFO    = 0xC0 // FIFOs are on, and work: a 16550A
)

const (
	fcrEnable  = 0x01
	fcrClearRx = 0x02
	fcrTrigger = 6 // shift of the two bits that choose the receive trigger level
	fcrKept    = 0xC9
)

const lcrDLAB = 0x80

const (
	mcrDTR  = 0x01
	mcrRTS  = 0x02
	mcrOUT1 = 0x04
	mcrOUT2 = 0x08
	mcrLoop = 0x10
	mcrMask = 0x1F
)

const (
	lsrDR   = 0x01 // data ready
	lsrOE   = 0x02 // overrun
	lsrBI   = 0x10 // break
	lsrTHRE = 0x20 // transmit holding register empty
	lsrTEMT = 0x40 // transmitter empty
	lsrFIFO = 0x80 // a byte with an error is in the FIFO
)

const (
	msrDelta = 0x0F // what changed since MSR was read
	msrTERI  = 0x04 // ring indicator went off
	msrCTS   = 0x10
	msrDSR   = 0x20
	msrRI    = 0x40
	msrDCD   = 0x80
	msrPlug  = msrCTS | msrDSR | msrDCD // a connected peer that is ready
)

const fifoSize = 16

// trigger is the receive trigger level in bytes by FCR bits 7-6.
var trigger = [4]int{1, 4, 8, 14}
