// Command genfast writes fastops.go: handlers of the software processor for instructions whose operation, size and kind
// of operands are known when they are decoded. With the argument -, it writes to standard output.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"strings"
)

type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

var (
	sizes = []int{4, 8, 1}
	ops   = []string{"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"} // by their numbers
	sign  = map[string]string{"add": "a + b", "or": "a | b", "and": "a & b", "sub": "a - b", "xor": "a ^ b", "cmp": "a - b", "test": "a & b"}
	forms = []string{"RR", "RI", "RM", "MR", "MI"}
)

func typeOf(n int) string { return fmt.Sprintf("uint%d", 8*n) }

// load reads a memory operand into v, which is declared.
func (w *writer) load(v string, n int) {
	w.line("at := c.target(u)")
	w.line("var %s %s", v, typeOf(n))
	w.line("if p := c.readable(at, %d); p != nil { %s = *(*%s)(p) } else if v, ok := c.load(at, %d); ok { %s = %s(v) } else { return faulted }", n, v, typeOf(n), n, v, typeOf(n))
}

// store writes v, of the size's type, to at.
func (w *writer) store(v string, n int) {
	w.line("if p := c.changeable(at, %d); p != nil { *(*%s)(p) = %s } else if !c.store(at, %d, uint64(%s)) { return faulted }", n, typeOf(n), v, n, v)
}

// result writes v to the register.
func (w *writer) result(v string, n int) {
	switch n {
	case 1:
		w.line("*(*uint8)(unsafe.Pointer(c.register(u.d))) = %s", v)
	default:
		w.line("*c.register(u.d) = uint64(%s)", v)
	}
}

// operands declares a and b, and at where a or b is memory.
func (w *writer) operands(form string, n int) {
	t := typeOf(n)
	switch form {
	case "RR":
		w.line("a, b := %s(*c.register(u.d)), %s(*c.register(u.s))", t, t)
	case "RI":
		w.line("a, b := %s(*c.register(u.d)), %s(u.Imm)", t, t)
	case "RM":
		w.load("b", n)
		w.line("a := %s(*c.register(u.d))", t)
	case "MR":
		w.load("a", n)
		w.line("b := %s(*c.register(u.s))", t)
	case "MI":
		w.load("a", n)
		w.line("b := %s(u.Imm)", t)
	}
}

func (w *writer) flags(op string, n int) {
	shift := 64 - 8*n
	up := func(v string) string {
		if shift == 0 {
			return v
		}
		return fmt.Sprintf("uint64(%s)<<%d", v, shift)
	}
	switch op {
	case "add", "sub", "cmp":
		kind := "kindSub"
		if op == "add" {
			kind = "kindAdd"
		}
		w.line("f := &c.flags")
		w.line("f.kind, f.shift, f.a, f.b, f.res = %s, %d, %s, %s, %s", kind, shift, up("a"), up("b"), up("res"))
	default:
		w.line("f := &c.flags")
		w.line("f.kind, f.shift, f.res = kindLogic, %d, %s", shift, up("res"))
	}
}

func (w *writer) alu(op, form string, n int) {
	w.line("func fast_%s_%d_%s(c *CPU, u *uop) status {", op, n, form)
	w.operands(form, n)
	w.line("res := %s", sign[op])
	if op != "cmp" && op != "test" {
		if form[0] == 'M' {
			w.store("res", n)
		} else {
			w.result("res", n)
		}
	}
	w.flags(op, n)
	w.line("return next\n}\n")
}

// pair is CMP or TEST with the conditional branch behind it.
func (w *writer) pair(op, form string, n int) {
	signed := fmt.Sprintf("int%d", 8*n)
	w.line("func fast_%s_%d_%s_branch(c *CPU, u *uop) status {", op, n, form)
	w.operands(form, n)
	w.line("res := %s", sign[op])
	w.flags(op, n)
	if strings.Contains(form, "M") {
		w.line("if c.code.changed { return next } // a breakpoint follows it")
	}
	w.line("var is bool\nswitch u.condition >> 1 {")
	less, below, equal := "a < b", signed+"(a) < "+signed+"(b)", "a == b"
	if op == "test" {
		less, below, equal = "false", signed+"(res) < 0", "res == 0"
	}
	for cc, cond := range []string{"", less, equal, less + " || " + equal, signed + "(res) < 0", "", below, below + " || " + equal} {
		if cond != "" {
			w.line("case %d: is = %s", cc, cond)
		}
	}
	w.line("default: is = c.condition(u.condition &^ 1)")
	w.line("}")
	w.line("if is == (u.condition&1 != 0) { return skip }")
	w.line("c.retired++")
	w.line("following := u.after(1)")
	w.line("c.RIP += uint64(u.Len) + uint64(following.Len) + uint64(following.Imm)")
	w.line("return branch\n}\n")
}

func (w *writer) mov(form string, n int) {
	t := typeOf(n)
	w.line("func fast_mov_%d_%s(c *CPU, u *uop) status {", n, form)
	switch form {
	case "RR":
		w.result(t+"(*c.register(u.s))", n)
	case "RI":
		w.result(t+"(u.Imm)", n)
	case "RM":
		w.load("a", n)
		w.result("a", n)
	case "MR":
		w.line("at := c.target(u)")
		w.line("v := %s(*c.register(u.s))", t)
		w.store("v", n)
	case "MI":
		w.line("at := c.target(u)")
		w.line("v := %s(u.Imm)", t)
		w.store("v", n)
	}
	w.line("return next\n}\n")
}

func (w *writer) table(name string, op func(n int, form string) string) {
	w.line("%s{", name)
	for _, n := range sizes {
		w.line("{")
		for _, f := range forms {
			if g := op(n, f); g != "" {
				w.line("form%s: %s,", f, g)
			}
		}
		w.line("},")
	}
	w.line("}")
}

func (w *writer) shifts() {
	for _, n := range []int{4, 8} {
		t, s := typeOf(n), fmt.Sprintf("int%d", 8*n)
		for _, k := range []struct{ name, res, carry, over string }{
			{"shl", "a << count", fmt.Sprintf("a>>(%d-count)&1 != 0", 8*n), fmt.Sprintf("(res>>%d != 0) != carry", 8*n-1)},
			{"shr", "a >> count", "a>>(count-1)&1 != 0", fmt.Sprintf("a>>%d != 0", 8*n-1)},
			{"sar", t + "(" + s + "(a) >> count)", t + "(" + s + "(a)>>(count-1))&1 != 0", "false"},
		} {
			w.line("func fast_%s_%d(c *CPU, u *uop) status {", k.name, n)
			w.line("a, count := %s(*c.register(u.d)), uint8(u.Imm)&%d", t, 8*n-1)
			w.line("res := %s", k.res)
			w.line("*c.register(u.d) = uint64(res)")
			w.line("carry := %s", k.carry)
			w.line("f := &c.flags")
			w.line("f.kind, f.shift, f.res = kindShift, %d, uint64(res)<<%d", 64-8*n, 64-8*n)
			w.line("f.bits = flag(carry, flagCF) | flag(%s, flagOF)", k.over)
			w.line("return next\n}\n")
		}
	}
	w.line("var fastShift = [8][sizes]exec{")
	w.line("shiftSHL: {fast_shl_4, fast_shl_8}, shiftSHR: {fast_shr_4, fast_shr_8}, shiftSAR: {fast_sar_4, fast_sar_8},\n}\n")
}

// imul are IMUL with two operands, and with three.
func (w *writer) imul() {
	for _, n := range []int{4, 8} {
		for _, form := range []string{"RR", "RM", "RRI", "RMI"} {
			w.line("func fast_imul_%d_%s(c *CPU, u *uop) status {", n, form)
			if form[1] == 'M' {
				w.load("a", n)
			} else {
				w.line("a := %s(*c.register(u.s))", typeOf(n))
			}
			if len(form) == 3 {
				w.line("b := %s(u.Imm)", typeOf(n))
			} else {
				w.line("b := %s(*c.register(u.d))", typeOf(n))
			}
			if n == 4 {
				w.line("wide := int64(int32(a)) * int64(int32(b))")
				w.line("res := uint32(wide)")
				w.line("over := wide != int64(int32(wide))")
			} else {
				w.line("high, res := bits.Mul64(a, b)")
				w.line("high -= uint64(int64(a)>>63)&b + uint64(int64(b)>>63)&a")
				w.line("over := high != uint64(int64(res)>>63)")
			}
			w.line("*c.register(u.d) = uint64(res)")
			w.line("f := &c.flags")
			w.line("f.kind, f.shift, f.res = kindShift, %d, uint64(res)<<%d", 64-8*n, 64-8*n)
			w.line("f.bits = flag(over, flagCF|flagOF)")
			w.line("return next\n}\n")
		}
	}
	w.line("var fastIMul = [sizes][4]exec{{fast_imul_4_RR, fast_imul_4_RM, fast_imul_4_RRI, fast_imul_4_RMI}, {fast_imul_8_RR, fast_imul_8_RM, fast_imul_8_RRI, fast_imul_8_RMI}}\n")
}

func (w *writer) incDec() {
	for _, n := range []int{4, 8} {
		for _, op := range []string{"inc", "dec"} {
			sign, kind := "+", "kindAdd"
			if op == "dec" {
				sign, kind = "-", "kindSub"
			}
			shift := 64 - 8*n
			w.line("func fast_%s_%d(c *CPU, u *uop) status {", op, n)
			w.line("f := &c.flags")
			w.line("carry := flag(f.carry(), flagCF)")
			w.line("a := %s(*c.register(u.d))", typeOf(n))
			w.line("res := a %s 1", sign)
			w.line("*c.register(u.d) = uint64(res)")
			w.line("f.kind, f.shift, f.a, f.b, f.res = %sKeep, %d, uint64(a)<<%d, 1<<%d, uint64(res)<<%d", kind, shift, shift, shift, shift)
			w.line("f.bits = carry")
			w.line("return next\n}\n")
		}
	}
	w.line("var fastIncDec = [2][sizes]exec{{fast_inc_4, fast_inc_8}, {fast_dec_4, fast_dec_8}}\n")
}

func (w *writer) extend() {
	for _, from := range []string{"uint8", "uint16", "int8", "int16"} {
		for _, n := range []int{4, 8} {
			bytes := map[string]int{"uint8": 1, "uint16": 2, "int8": 1, "int16": 2}[from]
			to := "uint64(%s(%s))"
			if from[0] == 'i' && n == 4 {
				to = "uint64(uint32(%s(%s)))"
			}
			w.line("func fast_extend_%s_%d(c *CPU, u *uop) status {", from, n)
			w.line("*c.register(u.d) = "+to, from, "*c.register(u.s)")
			w.line("return next\n}\n")
			w.line("func fast_extend_%s_%d_memory(c *CPU, u *uop) status {", from, n)
			w.load("a", bytes)
			w.line("*c.register(u.d) = "+to, from, "a")
			w.line("return next\n}\n")
		}
	}
	w.line("// fastExtend are MOVZX and MOVSX, of 8 and 16 bits each.")
	w.line("var fastExtend = [4][sizes][2]exec{")
	for _, from := range []string{"uint8", "uint16", "int8", "int16"} {
		w.line("{{fast_extend_%s_4, fast_extend_%s_4_memory}, {fast_extend_%s_8, fast_extend_%s_8_memory}},", from, from, from, from)
	}
	w.line("}\n")
}

func (w *writer) jcc() {
	conditions := []string{"f.overflow()", "f.carry()", "f.zero()", "f.carry() || f.zero()", "f.sign()", "f.parity()", "f.sign() != f.overflow()", "f.zero() || f.sign() != f.overflow()"}
	for i, cond := range conditions {
		for j, not := range []string{"", "!"} {
			w.line("func fast_j%d(c *CPU, u *uop) status {", 2*i+j)
			w.line("f := &c.flags")
			w.line("if %s(%s) {", not, cond)
			w.line("c.RIP += uint64(u.Len) + uint64(u.Imm)")
			w.line("return branch\n}\nreturn next\n}\n")
		}
	}
	w.line("var fastJcc = [16]exec{")
	for i := range 16 {
		w.line("fast_j%d,", i)
	}
	w.line("}\n")
}

func main() {
	w := new(writer)
	w.line("// Code generated by genfast; DO NOT EDIT.\n\npackage soft\n\nimport (\n\"math/bits\"\n\"unsafe\"\n)\n")
	for _, n := range sizes {
		for _, op := range ops {
			if sign[op] == "" {
				continue
			}
			for _, f := range forms {
				w.alu(op, f, n)
			}
		}
		for _, f := range forms {
			if f != "RM" {
				w.alu("test", f, n)
				w.pair("test", f, n)
			}
			w.pair("cmp", f, n)
			w.mov(f, n)
		}
	}
	w.line("var fastALU = [8]fastForms{")
	for _, op := range ops {
		w.table("", func(n int, f string) string {
			if sign[op] == "" {
				return ""
			}
			return fmt.Sprintf("fast_%s_%d_%s", op, n, f)
		})
		w.line(",")
	}
	w.line("}\n")
	w.table("var fastTest = fastForms", func(n int, f string) string {
		if f == "RM" {
			return ""
		}
		return fmt.Sprintf("fast_test_%d_%s", n, f)
	})
	w.table("var fastMov = fastForms", func(n int, f string) string { return fmt.Sprintf("fast_mov_%d_%s", n, f) })
	w.table("var fastCmpBranch = fastForms", func(n int, f string) string { return fmt.Sprintf("fast_cmp_%d_%s_branch", n, f) })
	w.table("var fastTestBranch = fastForms", func(n int, f string) string {
		if f == "RM" {
			return ""
		}
		return fmt.Sprintf("fast_test_%d_%s_branch", n, f)
	})
	w.shifts()
	w.incDec()
	w.imul()
	w.extend()
	w.jcc()
	b := bytes.ReplaceAll(w.Bytes(), []byte("}\n,"), []byte("},"))
	out, err := format.Source(b)
	if err != nil {
		log.Fatal(err)
	}
	if len(os.Args) > 1 && os.Args[1] == "-" {
		_, err = os.Stdout.Write(out)
	} else {
		err = os.WriteFile("fastops.go", out, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}
