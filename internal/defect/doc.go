// Package defect is what code could try that has found a defect in one of Mayfly's processes.
// It is in builds with the tag defect alone, for tests of the confinement.
package defect
