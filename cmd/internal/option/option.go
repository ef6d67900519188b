// Package option describes a program's commands and flags in one table. The parser, the reader and the writer of
// configuration files and the help work from it here; package reference generates the manual page, the Markdown reference,
// the completion scripts and the JSON schema from it.
package option

// Shells are those that there are completion scripts for.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Flag is one flag of a command, or one key of a flag's value.
type Flag struct {
	Name     string // without the dashes
	Short    byte   // one-letter form, 0: none
	Arg      string // name of its value in help; empty: the flag takes none, or true or false
	Help     string // one sentence, without a full stop
	Default  string // shown in help; empty: not shown
	Many     bool   // may be given more than once
	First    bool   // is set before all others, wherever it stands
	Optional bool   // the value may be left out; so it follows after "=" only
	Required bool   // a key that each group must have

	Value         // what it sets, or
	Groups Groups // its value is made of keys
}

// Value is a variable as flags, keys and configuration files set it.
type Value struct {
	Type        Type
	Values      []string // the only values that there are; nil: anything
	Files       bool     // the value is a file's name
	Least, Most uint64   // of a Number
	Pattern     string   // a regular expression of what is valid, for the schema; Set is stricter

	// Set takes the value; of a flag without one it gets "". Its error is shown after the flag's name and value, and
	// names what is valid.
	Set func(value string) error
	// Get returns what was set, as Set takes it; nothing where that is the default. A flag without it is for the command
	// line alone: no configuration file has it.
	Get func() []string
}

// Type is how a value is written in JSON and YAML.
type Type uint8

// Types of values. All but numbers and booleans are strings there.
const (
	String Type = iota
	Boolean
	Integer
	Bytesize // a string, or a number of MiB
)

// Example is a command line worth showing.
type Example struct {
	Line string // what is typed
	What string // what it does
}

// Command is a subcommand.
type Command struct {
	Name     string
	Operands string // as shown after the flags, such as "[KERNEL]"; empty: none
	Brief    string // half a line, without a full stop
	Long     []string
	Flags    []Flag
	Examples []Example
	MaxArgs  int
	MinArgs  int
	Files    bool     // operands are names of files
	Values   []string // or one of these
	Program  string   // another program that does the command's work; empty: this one does
}

// Row is a line of a table after the commands: an exit code, a signal, a variable of the environment.
type Row struct{ Name, Meaning string }

// Table is a titled list of rows.
type Table struct {
	Title string
	Rows  []Row
}

// Program describes a program.
type Program struct {
	Name     string
	Brief    string
	Long     []string
	Commands []*Command
	Tables   []Table
	Version  string
}
