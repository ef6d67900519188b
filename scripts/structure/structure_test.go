// Package structure checks what holds for the module as a whole: the length of
// functions, which packages are public, and which package may import which.
package structure

// root is the directory of the module.
const root = "../.."
