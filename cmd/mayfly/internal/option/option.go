// Package option describes a command's flags in one table and makes all out of it: the parser, the help, the
// completion of three shells, the man page and the reference in Markdown.
package option

// Flag is one flag of a command.
type Flag struct {
	Name    string   // without the dashes
	Short   byte     // one-letter form, 0: none
	Arg     string   // name of its value in help; empty: the flag takes none
	Help    string   // one sentence, without a full stop
	Default string   // shown in help; empty: not shown
	Values  []string // the only values that there are; nil: anything
	Files   bool     // the value is a file's name
	Many    bool     // may be given more than once

	// Set takes the value; of a flag without one it gets "". Its error is shown behind the flag's name and value, and tells
	// what can be.
	Set func(value string) error
}

// Example is a command line worth showing.
type Example struct {
	Line string // what is typed
	What string // what it does
}

// Command is a subcommand.
type Command struct {
	Name     string
	Operands string // as shown behind the flags, such as "[KERNEL]"; empty: none
	Brief    string // half a line, without a full stop
	Long     []string
	Flags    []Flag
	Examples []Example
	MaxArgs  int
	MinArgs  int
	Files    bool     // operands are names of files
	Values   []string // or one of these
	Run      func(args []string) int
}

// Row is a line of a table behind the commands: an exit code, a signal, a variable of the environment.
type Row struct{ Name, Meaning string }

// Table is a titled list of rows.
type Table struct {
	Title string
	Rows  []Row
}

// Program is all that there is to say of a program.
type Program struct {
	Name     string
	Brief    string
	Long     []string
	Commands []*Command
	Tables   []Table
	Version  string
}

// Bool makes a flag's Set out of a variable.
func Bool(p *bool) func(string) error {
	return func(string) error { *p = true; return nil }
}

// Text makes a flag's Set out of a variable.
func Text(p *string) func(string) error {
	return func(s string) error { *p = s; return nil }
}

// Texts makes the Set of a flag that may be given more than once.
func Texts(p *[]string) func(string) error {
	return func(s string) error { *p = append(*p, s); return nil }
}
