# `launch/bench --check`: a guard against slow-downs; read by launch/bench with `.`.
#
# Two figures of a training step that another machine's speed does not change are compared with those in ratios.json:
#
#   instructions   of a step of a small model with one thread, counted by valgrind's callgrind, inside of the step alone:
#                  starting up, yardsticks and waiting threads are left out. A count is the difference of two runs of
#                  unequal length. valgrind plays a processor with AVX2, whatever it runs on. Repeated counts differ by
#                  less than a thousandth; 5 % more fail.
#   time           model FLOP/s of one thread over the processor's peak, measured between the steps. It sees what no count
#                  does (caches, AVX-512, matrix tiles), but other programs disturb it. It fails where the best round is
#                  lower by more than the tolerance, and warns where the median is, or where the machine is busy.
#                  One figure a generation of processors: avx2, avx512, amx.

# shellcheck disable=SC2154 # murmur is lib.sh's
ratios=launch/benchmark/ratios.json
instruction_cases="gpt-float32 gpt-float16 gpt-bfloat16 llama-float32 vit-float32"
time_cases="micro-float32 micro-bfloat16 nano-float32 nano-bfloat16"

# stored KEY: its value, or nothing.
stored() { sed -n "s|^ *\"$1\": *\([0-9.]*\),\{0,1\}\$|\1|p" "$ratios"; }

# store KEY VALUE: in place of what was there.
store() {
    {
        sed -n 's|^ *\("[^"]*": *[0-9.]*\),\{0,1\}$|\1|p' "$ratios" | grep -v "^\"$1\":" || true
        echo "\"$1\": $2"
    } | LC_ALL=C sort | awk 'BEGIN { print "{" } NR > 1 { print line "," } { line = "  " $0 } END { print line; print "}" }' \
        > "$ratios.new"
    mv "$ratios.new" "$ratios"
}

# exceeds A B SHARE: A is more than B by more than the share.
exceeds() { awk -v a="$1" -v b="$2" -v share="$3" 'BEGIN { exit !(a > b * (1 + share)) }'; }
percent() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%+.1f %%", 100 * (a / b - 1) }'; }

# One that costs too much, said on one line.
slower() {
    echo "error: $*" >&2
    failures=$((failures + 1))
}

# Settings of a small model: `small_model FAMILY-STORAGE`.
small_model() {
    echo "--set model.layers=2 --set model.width=64 --set model.heads=2 --set batch.sequences=4 --set batch.micro_batch=4"
    echo "--set run.threads=1 --set precision.storage=${1#*-}"
    case $1 in
    gpt-*) echo "--set model.vocabulary=256 --set model.context_length=32" ;;
    llama-*)
        echo "--set model.family=llama --set model.vocabulary=256 --set model.context_length=32"
        echo "--set model.key_heads=1 --set model.feed_forward=192 --set model.tied_output=true"
        ;;
    vit-*) echo "--set model.image_size=32 --set model.patch_size=8 --set model.classes=16" ;;
    esac
}

# count_steps CASE STEPS: instructions, and steps that they are of, in $work/CASE.STEPS.
count_steps() {
    config=configs/gpt2-124m.yaml
    [ "${1%-*}" != vit ] || config=configs/vit-b16.yaml
    # OpenBLAS's oldest kernels: bench leaves its yardstick out, which takes minutes here.
    # shellcheck disable=SC2046 # words
    OPENBLAS_CORETYPE=Prescott valgrind --tool=callgrind --toggle-collect="$step_function" \
        --callgrind-out-file="$work/callgrind.$1.$2" "$work/murmur" bench $config --json --steps "$2" $(small_model "$1") \
        > "$work/log.$1.$2" 2>&1 || return $?
    awk '/^totals:/ { total = $2 } /^fn=/ { inside = /9benchStep/ } inside && !calls && /^calls=/ { calls = substr($1, 7) }
        END { if (total && calls) print total, calls }' "$work/callgrind.$1.$2" > "$work/$1.$2"
}

# instructions_of CASE: of a step, in $instructions.
instructions_of() {
    rm -f "$work/$1.1" "$work/$1.3"
    count_steps "$1" 1 &
    short=$!
    long_code=0
    count_steps "$1" 3 || long_code=$?
    wait $short || long_code=$?
    if [ "$long_code" != 0 ]; then
        fail "$1: expected a run under valgrind, found exit code $long_code: $(grep -v '^==\|^$' "$work/log.$1.3" | tail -n 1)"
    fi
    cat "$work/$1.1" "$work/$1.3" > "$work/$1"
    [ "$(wc -l < "$work/$1")" = 2 ] ||
        fail "$1: expected instructions inside of $step_function, found none; has the function another name?"
    instructions=$(awk 'NR == 1 { total = $1; calls = $2 } NR == 2 { printf "%.0f", ($1 - total) / ($2 - calls) }' "$work/$1")
}

check_instructions() {
    command -v valgrind > /dev/null || install_packages valgrind >&2
    # The step that `murmur bench` times, without its closures.
    step_function='*8Training9benchStep*KF'
    # Debugging information of newer compilers is unknown to older valgrinds.
    strip --strip-debug -o "$work/murmur" "$murmur" || fail "$murmur: expected a program that strip can copy"
    for case in $instruction_cases; do
        key=instructions/$case
        instructions_of "$case"
        was=$(stored "$key")
        if [ "$update" = true ]; then
            store "$key" "$instructions"
            echo "$case: $instructions instructions a step, stored${was:+; it was $was, $(percent "$instructions" "$was")}"
        elif [ -z "$was" ]; then
            echo "warning: $case: $instructions instructions a step; nothing is stored to compare with: launch/bench --check --update"
        elif exceeds "$instructions" "$was" "$(stored tolerance/instructions)"; then
            slower "$case: expected $was instructions a step and at most $(stored tolerance/instructions) times as many more," \
                "found $instructions ($(percent "$instructions" "$was")); callgrind_annotate .build/bench/callgrind.$case.3" \
                "says of which functions; if that is meant: launch/bench --check --update"
        else
            echo "$case: $instructions instructions a step, $(percent "$instructions" "$was")"
        fi
    done
}

# time_of CASE: model FLOP/s over the peak, one line.
time_of() {
    case $1 in
    micro-*) set -- "$1" 4 4 128 64 12 40 ;;
    nano-*) set -- "$1" 6 6 384 256 4 3 ;;
    esac
    "$murmur" bench configs/gpt2-124m.yaml --json --steps "$7" --set model.layers="$2" --set model.heads="$3" \
        --set model.width="$4" --set model.context_length="$5" --set model.vocabulary=256 --set batch.sequences="$6" \
        --set batch.micro_batch="$6" --set run.threads=1 --set precision.storage="${1#*-}" 2> "$work/log.time" |
        sed -n 's/.*"peak_ratio": *\([0-9.e-]*\).*/\1/p'
}

generation() {
    if grep -q -m1 -w amx_bf16 /proc/cpuinfo; then
        echo amx
    elif grep -q -m1 -w avx512f /proc/cpuinfo; then
        echo avx512
    else
        echo avx2
    fi
}

check_time() {
    tolerance=$(stored tolerance/time)
    processor=$(generation)
    for case in $time_cases; do
        key=time/$processor/$case
        : > "$work/rounds"
        for _ in $(seq "$rounds"); do time_of "$case" >> "$work/rounds"; done
        [ "$(wc -l < "$work/rounds")" = "$rounds" ] || fail "$case: $(tail -n 1 "$work/log.time")"
        sort -g "$work/rounds" > "$work/sorted"
        best=$(tail -n 1 "$work/sorted")
        middle=$(sed -n "$(((rounds + 1) / 2))p" "$work/sorted")
        figures=$(awk -v middle="$middle" '{ line = line sep sprintf("%.3f", $1); sep = " " }
            END { printf "%.3f of the peak (rounds: %s)", middle, line }' "$work/sorted")
        was=$(stored "$key")
        if [ "$update:$busy" = true:true ]; then
            echo "warning: $case: $figures; not stored, since the machine is busy (load at start: $load)"
        elif [ "$update" = true ]; then
            store "$key" "$(printf '%.4f' "$middle")"
            echo "$case: $figures, stored for $processor${was:+; it was $was}"
        elif [ -z "$was" ]; then
            echo "warning: $case: $figures; nothing is stored for $processor: launch/bench --check time --update on a quiet machine"
        elif exceeds "$was" "$best" "$tolerance" && [ "$busy" = false ]; then
            slower "$case: expected $was of the peak on $processor, found $figures: even the best round is" \
                "$(percent "$best" "$was"); murmur bench CONFIG --profile says where time goes; if that is meant:" \
                "launch/bench --check time --update"
        elif exceeds "$was" "$middle" "$tolerance"; then
            echo "warning: $case: expected $was of the peak on $processor, found $figures, $(percent "$middle" "$was");" \
                "repeat it on a quiet machine (load at start: $load)"
        else
            echo "$case: $figures, $(percent "$middle" "$was")"
        fi
    done
}

check() {
    parts=""
    update=false
    rounds=${ROUNDS:-5}
    while [ $# -gt 0 ]; do
        case $1 in
        --check) ;;
        --update) update=true ;;
        instructions | time) parts="$parts $1" ;;
        --rounds)
            [ $# -gt 1 ] || fail "--rounds: expected a number from 1, found none"
            rounds=$2
            shift
            ;;
        *) fail "$1: expected with --check instructions, time, --update or --rounds N" ;;
        esac
        shift
    done
    case $rounds in
    [1-9] | [1-9][0-9]) ;;
    *) fail "--rounds: expected a number from 1 to 99, found $rounds" ;;
    esac
    # Busy before anything of ours ran: a quarter of the cores is somebody else's.
    load=$(cut -d " " -f 1 /proc/loadavg)
    busy=false
    ! exceeds "$load" "$(nproc)" -0.75 || busy=true
    build_release >&2
    work=.build/bench
    mkdir -p $work
    failures=0
    for part in ${parts:-instructions time}; do
        "check_$part"
    done
    if [ $failures != 0 ]; then
        echo "error: launch/bench --check: $failures slower than stored" >&2
        exit 1
    fi
}
