// Command images brings the lab's disk images into its cache and prints where
// they lie.
//
//	go run ./lab/cmd/images [-update]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/mayfly-vm/mayfly/lab/images"
)

func main() {
	update := flag.Bool("update", false, "make them anew, of the packages of today")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	get := images.Get
	if *update {
		get = images.Update
	}
	i, err := get(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%-18s %s\n", i.Name, i.Dir)
}
