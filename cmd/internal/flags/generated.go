package flags

import "github.com/mayfly-vm/mayfly/cmd/internal/option"

// DocProgram is the program that does the work of the commands of this file: mayfly runs it, and links nothing of what
// generates text.
const DocProgram = "mayfly-doc"

// Schema describes "mayfly schema".
func Schema() *option.Command {
	return &option.Command{
		Name: "schema", Brief: "print the JSON schema of the files that run --config reads", Program: DocProgram,
		Long: []string{"The schema (JSON Schema 2020-12) lets an editor complete and check such a file, be it JSON or YAML. It is made of the same table as the flags of run."},
		Examples: []option.Example{
			{Line: "mayfly schema > mayfly.schema.json", What: "then begin a YAML file with: # yaml-language-server: $schema=mayfly.schema.json"},
		},
	}
}

// Completion describes "mayfly completion".
func Completion() *option.Command {
	return &option.Command{
		Name: "completion", Operands: "SHELL", Brief: "print the completion script for bash, zsh or fish", Program: DocProgram,
		MinArgs: 1, MaxArgs: 1, Values: option.Shells(),
		Examples: []option.Example{
			{Line: `eval "$(mayfly completion bash)"`, What: "for this bash; put the line into ~/.bashrc for all"},
			{Line: "source <(mayfly completion zsh)", What: "for this zsh, after compinit"},
			{Line: "mayfly completion fish > ~/.config/fish/completions/mayfly.fish", What: "for fish, for good"},
		},
	}
}

// Man holds what the flags of "mayfly man" set.
type Man struct{ Markdown bool }

// Command describes "mayfly man".
func (o *Man) Command() *option.Command {
	return &option.Command{
		Name: "man", Brief: "print the manual page", Program: DocProgram,
		Flags: []option.Flag{{Name: "markdown", Help: "print it as Markdown instead of roff", Value: option.Bool(&o.Markdown)}},
		Examples: []option.Example{
			{Line: "mayfly man | man -l -", What: "read it"},
			{Line: "mayfly man | sudo tee /usr/local/share/man/man1/mayfly.1 >/dev/null", What: "install it"},
		},
	}
}
