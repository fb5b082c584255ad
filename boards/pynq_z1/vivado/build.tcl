# Builds the bitstream of a packaged accelerator for the PYNQ-Z1.
#
#   vivado -mode batch -source vivado/build.tcl        in the folder of tandem board package
#
# Three steps: the generated RTL becomes an IP (an AXI4-Lite slave, one AXI3 master a port), a block
# design joins it to the processor (HP ports, clock, reset, interrupt), and implementation makes
# the bitstream. Projects go to build/, the results beside this folder: the bitstream, its .hwh and
# the reports. What is particular to a design stands in settings.tcl; here are only steps.
#
# The masters are joined to the HP ports directly: an interconnect between them would add cycles
# that the simulator does not have.

set here [file dirname [file normalize [info script]]]
set root [file dirname $here]
source [file join $here settings.tcl]

set work [file join $root build]
set ip_folder [file join $work ip]
set jobs 4

proc newest {name} {
    # The newest version of a catalogue IP.
    set found [lsort -dictionary [get_ipdefs -quiet "xilinx.com:ip:$name:*"]]
    if {[llength $found] == 0} {
        error "this Vivado has no IP $name: install it with support for Zynq-7000"
    }
    return [lindex $found end]
}

proc bus {core name definition ports} {
    # A bus interface of the core; the packager may have found it by itself.
    if {[llength [ipx::get_bus_interfaces -quiet $name -of_objects $core]] == 0} {
        ipx::infer_bus_interface $ports $definition $core
    }
    return [ipx::get_bus_interfaces $name -of_objects $core]
}

proc bus_parameter {interface name value} {
    set found [ipx::get_bus_parameters -quiet $name -of_objects $interface]
    if {[llength $found] == 0} {
        set found [ipx::add_bus_parameter $name $interface]
    }
    set_property value $value $found
}

proc ports_of {prefix names} {
    set ports {}
    foreach name $names {
        lappend ports "${prefix}_$name"
    }
    return $ports
}

proc package_ip {} {
    global root work ip_folder part sources axi_ports
    create_project -force tandem_ip [file join $work ip_project] -part $part
    set files {}
    foreach source $sources {
        lappend files [file join $root $source]
    }
    add_files -norecurse $files
    set_property top tandem_top [current_fileset]
    set_property verilog_define {SYNTHESIS=1} [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir $ip_folder -vendor tandem -library user \
        -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name tandem_accelerator $core
    set_property version 1.0 $core
    set_property display_name "Tandem accelerator" $core
    name_interfaces $core $axi_ports
    ipx::check_integrity $core
    ipx::save_core $core
    close_project
}

proc name_interfaces {core axi_ports} {
    set memory xilinx.com:interface:aximm_rtl:1.0
    set clock [bus $core clk_i xilinx.com:signal:clock_rtl:1.0 clk_i]
    set reset [bus $core rst_i xilinx.com:signal:reset_rtl:1.0 rst_i]
    bus_parameter $reset POLARITY ACTIVE_HIGH
    set interrupt [bus $core irq_o xilinx.com:signal:interrupt_rtl:1.0 irq_o]
    bus_parameter $interrupt SENSITIVITY LEVEL_HIGH

    set lite [bus $core s_axil $memory [ports_of s_axil {
        awvalid awready awaddr wvalid wready wdata wstrb bvalid bready bresp
        arvalid arready araddr rvalid rready rdata rresp
    }]]
    bus_parameter $lite PROTOCOL AXI4LITE
    if {[llength [ipx::get_memory_maps -quiet s_axil -of_objects $core]] == 0} {
        ipx::add_memory_map s_axil $core
    }
    set map [ipx::get_memory_maps s_axil -of_objects $core]
    set_property slave_memory_map_ref s_axil $lite
    if {[llength [ipx::get_address_blocks -quiet reg0 -of_objects $map]] == 0} {
        ipx::add_address_block reg0 $map
    }
    set block [ipx::get_address_blocks reg0 -of_objects $map]
    set_property range 4096 $block
    set_property width 32 $block
    set_property usage register $block

    set buses {s_axil}
    for {set port 0} {$port < $axi_ports} {incr port} {
        set name "m_axi_hp$port"
        lappend buses $name
        set master [bus $core $name $memory [ports_of $name {
            arvalid arready araddr arlen arsize arburst rvalid rready rdata rresp rlast
            awvalid awready awaddr awlen awsize awburst wvalid wready wdata wstrb wlast
            bvalid bready bresp
        }]]
        bus_parameter $master PROTOCOL AXI3
        if {[llength [ipx::get_address_spaces -quiet $name -of_objects $core]] == 0} {
            ipx::add_address_space $name $core
        }
        set space [ipx::get_address_spaces $name -of_objects $core]
        set_property range 4294967296 $space
        set_property width 32 $space
        set_property master_address_space_ref $name $master
    }
    foreach name $buses {
        ipx::associate_bus_interfaces -busif $name -clock clk_i $core
    }
    ipx::associate_bus_interfaces -clock clk_i -reset rst_i $core
}

proc processor {clock_mhz axi_ports} {
    # The PS with a clock, an interrupt, one control port and as many HP ports as are used.
    set cell [create_bd_cell -type ip -vlnv [newest processing_system7] processing_system7_0]
    set preset [expr {[llength [get_board_parts -quiet *pynq-z1*]] > 0}]
    apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
        -config [list make_external "FIXED_IO, DDR" apply_board_preset $preset] $cell
    set settings [list \
        CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $clock_mhz \
        CONFIG.PCW_USE_M_AXI_GP0 1 \
        CONFIG.PCW_USE_FABRIC_INTERRUPT 1 \
        CONFIG.PCW_IRQ_F2P_INTR 1]
    if {!$preset} {
        puts "WARNING: no board files of the PYNQ-Z1 are installed. The bitstream is right for a\
            board that PYNQ's Linux has booted, which sets the DDR up; nothing else may boot it."
        lappend settings CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50
    }
    for {set port 0} {$port < 4} {incr port} {
        set used [expr {$port < $axi_ports}]
        lappend settings "CONFIG.PCW_USE_S_AXI_HP$port" $used
        if {$used} {
            lappend settings "CONFIG.PCW_S_AXI_HP${port}_DATA_WIDTH" 64
        }
    }
    set_property -dict $settings $cell
}

proc join_pins {from args} {
    foreach to $args {
        connect_bd_net [get_bd_pins $from] [get_bd_pins $to]
    }
}

proc join_buses {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

proc block_design {} {
    global clock_mhz axi_ports ip_name
    create_bd_design system
    processor $clock_mhz $axi_ports
    create_bd_cell -type ip -vlnv tandem:user:tandem_accelerator:1.0 $ip_name
    create_bd_cell -type ip -vlnv [newest proc_sys_reset] reset_0
    set control [create_bd_cell -type ip -vlnv [newest axi_interconnect] control_0]
    set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 2] $control
    # pynq.Interrupt finds an interrupt through an AXI interrupt controller only.
    set controller [create_bd_cell -type ip -vlnv [newest axi_intc] axi_intc_0]
    set_property -dict [list CONFIG.C_IRQ_CONNECTION 1] $controller

    set clock processing_system7_0/FCLK_CLK0
    join_pins $clock processing_system7_0/M_AXI_GP0_ACLK reset_0/slowest_sync_clk \
        control_0/ACLK control_0/S00_ACLK control_0/M00_ACLK control_0/M01_ACLK \
        axi_intc_0/s_axi_aclk $ip_name/clk_i
    join_pins processing_system7_0/FCLK_RESET0_N reset_0/ext_reset_in
    join_pins reset_0/peripheral_aresetn control_0/ARESETN control_0/S00_ARESETN \
        control_0/M00_ARESETN control_0/M01_ARESETN axi_intc_0/s_axi_aresetn
    join_pins reset_0/peripheral_reset $ip_name/rst_i

    join_buses processing_system7_0/M_AXI_GP0 control_0/S00_AXI
    join_buses control_0/M00_AXI $ip_name/s_axil
    join_buses control_0/M01_AXI axi_intc_0/s_axi
    for {set port 0} {$port < $axi_ports} {incr port} {
        join_pins $clock "processing_system7_0/S_AXI_HP${port}_ACLK"
        join_buses "$ip_name/m_axi_hp$port" "processing_system7_0/S_AXI_HP$port"
    }
    join_pins $ip_name/irq_o axi_intc_0/intr
    join_pins axi_intc_0/irq processing_system7_0/IRQ_F2P
    assign_bd_address
    validate_bd_design
    save_bd_design
}

proc implement {} {
    global jobs
    set design [get_files system.bd]
    add_files -norecurse [make_wrapper -files $design -top]
    set_property top system_wrapper [current_fileset]
    update_compile_order -fileset sources_1
    launch_runs impl_1 -to_step write_bitstream -jobs $jobs
    wait_on_run impl_1
    set run [get_runs impl_1]
    if {[get_property PROGRESS $run] ne "100%"} {
        error "implementation ended with \"[get_property STATUS $run]\": read its log in build/"
    }
}

proc hand_over {} {
    # Results only where timing is met: a bitstream that computes wrong values helps nobody.
    global root work bitstream clock_mhz
    set run [get_runs impl_1]
    open_run $run
    report_utilization -hierarchical -file [file join $root utilization.rpt]
    report_timing_summary -file [file join $root timing.rpt]
    report_power -file [file join $root power.rpt]
    set slack [get_property STATS.WNS $run]
    if {$slack < 0} {
        error "timing is not met at $clock_mhz MHz: worst slack $slack ns, see timing.rpt"
    }
    set found [glob -nocomplain [file join $work project tandem.* sources_1 bd system hw_handoff *.hwh]]
    if {[llength $found] == 0} {
        error "the block design left no .hwh file, which pynq needs"
    }
    file copy -force [lindex $found 0] [file join $root [file rootname $bitstream].hwh]
    file copy -force [file join [get_property DIRECTORY $run] system_wrapper.bit] \
        [file join $root $bitstream]
}

file mkdir $work
package_ip
create_project -force tandem [file join $work project] -part $part
set boards [get_board_parts -quiet *pynq-z1*]
if {[llength $boards] > 0} {
    set_property board_part [lindex $boards end] [current_project]
}
set_property ip_repo_paths $ip_folder [current_project]
update_ip_catalog
block_design
implement
hand_over
puts "wrote [file join $root $bitstream]: $design_name, accelerator $build_id, $clock_mhz MHz"
