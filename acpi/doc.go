// Package acpi builds the tables that describe a machine to its guest: ACPI's
// root pointer, XSDT, FADT, MADT and a DSDT in AML, and, for guests without
// ACPI, the table of Intel's MultiProcessor specification.
//
// The machine is a hardware-reduced one (ACPI 6.5, section 4.1): it has no
// fixed ACPI registers and no SCI, and none of the devices that a PC is assumed
// to have. The tables say so, and a guest that reads them doesn't probe for a
// PIC, a keyboard controller, a VGA or a CMOS clock.
//
// The package only builds. It imports the standard library alone. Addresses are
// guest-physical and integers little-endian. Section numbers are those of the
// ACPI specification 6.5.
package acpi
