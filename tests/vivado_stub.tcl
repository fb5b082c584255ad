# Enough of Vivado to run boards/pynq_z1/vivado/build.tcl in a plain Tcl interpreter.
#
# Arguments: the script, a file of the top's ports (one a line), whether board files are installed.
# Objects are their names. Ports, pins and interfaces are looked up, so a wrong name is an error; a
# command that is not here is one too. What was joined is printed, one "joined A B" a line.

lassign $argv script port_file with_board slack
set ports [split [string trim [read [open $port_file]]] "\n"]

namespace eval ipx {}
set interfaces {}   ;# of the core: name -> ports
set parameters {}   ;# interface/name -> value
set cells {}        ;# name -> vlnv
set joined {}

proc said {args} { puts [join $args] }
foreach name {
    update_compile_order close_project update_ip_catalog assign_bd_address validate_bd_design
    save_bd_design launch_runs open_run report_utilization report_timing_summary report_power
    ipx::check_integrity ipx::save_core create_bd_design
} {
    proc $name {args} "said $name {*}\$args"
}
proc add_files {option files} {
    foreach file $files {
        if {![string match *wrapper* $file] && ![file exists $file]} { error "no file $file" }
    }
}
proc create_project {force name folder part value} {
    file mkdir $folder
    said create_project $name $value
}
proc get_ipdefs {quiet pattern} { return [string map {* 2.0} $pattern] }
proc get_board_parts {quiet pattern} {
    return [expr {$::with_board ? "www.digilentinc.com:pynq-z1:part0:1.0" : ""}]
}
proc current_fileset {} { return sources_1 }
proc current_project {} { return project }
proc get_files {name} { return $name }
proc get_runs {name} { return $name }
proc get_property {name object} {
    switch $name {
        PROGRESS { return 100% }
        STATS.WNS { return $::slack }
        DIRECTORY { return [file join $::work project runs] }
    }
    error "no property $name of $object"
}
proc set_property {args} {
    if {[lindex $args 0] eq "-dict"} {
        lassign $args _ values object
    } else {
        lassign $args name value object
        set values [list $name $value]
    }
    if {$object eq ""} { error "set_property: no object for $values" }
    foreach {name value} $values { said property $object $name $value }
}

# ---- packaging
proc ipx::package_project {args} { said package_project {*}$args }
proc ipx::current_core {} { return core }
proc ipx::get_bus_interfaces {args} {
    set name [lindex $args [expr {[lindex $args 0] eq "-quiet"}]]
    if {[dict exists $::interfaces $name]} { return $name }
    if {[lindex $args 0] eq "-quiet"} { return {} }
    error "the core has no interface $name"
}
proc ipx::infer_bus_interface {ports definition core} {
    foreach port $ports {
        if {$port ni $::ports} { error "the top has no port $port" }
    }
    set name [lindex $ports 0]
    if {[llength $ports] > 1} { regsub {_[a-z]+$} $name {} name }
    dict set ::interfaces $name $ports
}
proc ipx::get_bus_parameters {quiet name of interface} { return {} }
proc ipx::add_bus_parameter {name interface} { return $interface/$name }
foreach kind {memory_map address_block address_space} {
    proc ipx::get_${kind}s {args} {
        if {[lindex $args 0] eq "-quiet"} { return {} }
        return [lindex $args 0]
    }
    proc ipx::add_$kind {name parent} { return $name }
}
proc ipx::associate_bus_interfaces {args} {
    array set given [lrange $args 0 end-1]
    foreach name [array names given] {
        if {![dict exists $::interfaces $given($name)]} { error "no interface $given($name)" }
    }
}

# ---- block design: pins of catalogue IP as their data sheets name them
set pins {
    processing_system7 {FCLK_CLK0 FCLK_RESET0_N M_AXI_GP0_ACLK IRQ_F2P
        S_AXI_HP0_ACLK S_AXI_HP1_ACLK S_AXI_HP2_ACLK S_AXI_HP3_ACLK}
    proc_sys_reset {slowest_sync_clk ext_reset_in peripheral_reset peripheral_aresetn}
    axi_interconnect {ACLK ARESETN S00_ACLK S00_ARESETN M00_ACLK M00_ARESETN M01_ACLK M01_ARESETN}
    axi_intc {s_axi_aclk s_axi_aresetn intr irq}
    tandem_accelerator {clk_i rst_i irq_o}
}
set buses {
    processing_system7 {M_AXI_GP0 S_AXI_HP0 S_AXI_HP1 S_AXI_HP2 S_AXI_HP3}
    axi_interconnect {S00_AXI M00_AXI M01_AXI}
    axi_intc {s_axi}
}
proc create_bd_cell {type ip vlnv value name} {
    dict set ::cells $name [lindex [split $value :] 2]
    return $name
}
proc apply_bd_automation {rule name config values cell} { said automation {*}$values }
proc pin_of {table path} {
    lassign [split $path /] cell pin
    set kind [dict get $::cells $cell]
    if {$kind eq "tandem_accelerator" && $table eq "buses"} {
        set known [dict keys $::interfaces]
    } else {
        set known [dict get [set ::$table] $kind]
    }
    if {$pin ni $known} { error "$cell ($kind) has no $pin" }
    return $path
}
proc get_bd_pins {path} { return [pin_of pins $path] }
proc get_bd_intf_pins {path} { return [pin_of buses $path] }
proc connect_bd_net {from to} {
    if {$to in $::joined} { error "$to is joined twice" }
    lappend ::joined $to
    said joined $from $to
}
proc connect_bd_intf_net {from to} {
    foreach end [list $from $to] {
        if {$end in $::joined} { error "$end is joined twice" }
        lappend ::joined $end
    }
    said joined $from $to
}
proc make_wrapper {args} { return system_wrapper.v }

# ---- what a run leaves
proc wait_on_run {name} {
    foreach {folder file} {
        runs system_wrapper.bit tandem.gen/sources_1/bd/system/hw_handoff system.hwh
    } {
        set folder [file join $::work project $folder]
        file mkdir $folder
        close [open [file join $folder $file] w]
    }
}

set argv {}
info script $script
source $script
