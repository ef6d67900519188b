// Package kernel turns the file that a user calls a kernel into an Image: an
// uncompressed ELF file, its segments, its entry points and where it may be loaded.
//
// It reads ELF64 and ELF32 files, bzImages (whose payload is unpacked once into
// a cache) and compressed ELF files. Which of these a file is, its first bytes
// say, never its name. Every byte of it is untrusted.
//
// The decompressors are apart, so that a program doesn't load them at each start
// for the one start in many that meets a new kernel: import kernel/unpack for its
// side effect to unpack in process, or ship the program mayfly-unpack.
//
// Opening an ELF file costs a handful of small reads, whatever its size. What
// costs more, such as Version, is done when asked for.
package kernel
