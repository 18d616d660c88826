#!/bin/sh
# Runs the example programs as a user would, small, and checks what they print, their exit status and their files.
#
#   examples_test.sh BIN CASE     BIN is the folder of the programs; status 77: not built here
set -u
bin=$1
case=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
: >out
: >err

fail() {
  echo "FAILED: $*"
  echo "--- standard output"; cat out 2>/dev/null
  echo "--- standard error"; cat err 2>/dev/null
  exit 1
}

# expect STATUS PROGRAM ARGUMENT...: runs it and checks its exit status; output goes to the files out and err.
expect() {
  wanted=$1
  program=$2
  shift 2
  status=0
  [ "$program" = sh ] || program=$bin/$program
  "$program" "$@" >out 2>err </dev/null || status=$?
  [ "$status" = "$wanted" ] || fail "$program $*: exit status $wanted expected, got $status"
}
# says TEXT, complains TEXT: the last program wrote it to standard output, to standard error.
says() { grep -qF -e "$1" out || fail "not on standard output: $1"; }
complains() { grep -qF -e "$1" err || fail "not on standard error: $1"; }
# wait_for_file FILE: until the program $pid, in the background, has written it.
wait_for_file() {
  tries=0
  until [ -s "$1" ]; do
    tries=$((tries + 1))
    [ $tries -lt 1200 ] || { kill -9 "$pid"; fail "no $1 after two minutes"; }
    sleep 0.1
  done
}
has() { [ -s "$1" ] || fail "missing or empty: $1"; }
is_png() { [ "$(head -c 4 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e47 ] || fail "no PNG file: $1"; }
# same_epochs DIR DIR: the rows of metrics.csv are equal but for the times.
same_epochs() {
  [ "$(cut -d , -f 1-8 "$1/metrics.csv")" = "$(cut -d , -f 1-8 "$2/metrics.csv")" ] ||
    fail "other epochs: $(cut -d , -f 1-8 "$1/metrics.csv" "$2/metrics.csv")"
}
# refuses STATUS TEXT ARGUMENT...: train_cifar100 ends with that status and text, has nothing to say on standard output,
# and leaves nothing behind.
refuses() {
  wanted=$1
  text=$2
  shift 2
  before=$(find . | sort)
  expect "$wanted" train_cifar100 "$@"
  complains "$text"
  [ ! -s out ] || fail "train_cifar100 $*: wrote to standard output"
  [ "$(find . | sort)" = "$before" ] || fail "train_cifar100 $*: left files behind: $(find .)"
}

results="best.safetensors checkpoint.safetensors curves.svg metrics.csv model.safetensors steps.csv wrong_predictions.png"
small="--train-size 512 --test-size 256 --batch 64 --threads 2"

case $case in
  quickstart)
    expect 0 quickstart graph.dot
    says "loss"
    says "conv2d"
    grep -q '^digraph' graph.dot || fail "graph.dot is no graph"
    ;;

  tensors_and_gradients)
    expect 0 example_01_tensors_and_gradients
    says "[3, 12, 27] f64 [3]"
    says "[6, 12, 18] f64 [3]"
    says "matmul: inner extents differ: a is [3, 4], b is [5, 6]"
    ;;

  lecture)
    expect 0 example_02_lecture
    for shape in "[160, 319, 3]" "[28, 28, 1]" "[28, 28, 3]" "[14, 14, 3]" "[1, 1, 10]" "[1, 1, 100]" "[224, 224, 64]"; do
      says "$shape"
    done
    # The program's own picture has one white stripe on black: up by 1 at its left side, down by 1 at its right side.
    says "from -1.000 to 1.000"
    [ "$(find . -name '*.png' | wc -l)" = 13 ] || fail "13 pictures expected: $(ls)"
    for file in *.png; do is_png "$file"; done
    expect 0 example_02_lecture 1_picture.png  # what it draws, rounded to bytes
    cp 1_edges.png edges.png
    expect 0 example_02_lecture 1_picture.png
    cmp -s 1_edges.png edges.png || fail "the same picture, read back, gave another result"
    expect 1 example_02_lecture missing.png
    complains "missing.png"
    echo "this is no picture" >text.png
    expect 1 example_02_lecture text.png
    complains "text.png"
    ;;

  custom_model)
    expect 0 example_03_custom_model
    says "with frozen features, 2 of 16 parameters have a gradient"
    says "classes found: [0, 1, 2, 3, 4, 5, 6, 7]"
    ;;

  training_loop)
    expect 0 example_04_training_loop whole 3
    says "epoch 3 "
    for file in best.safetensors checkpoint.safetensors curves.svg metrics.csv model.safetensors wrong_predictions.png; do
      has whole/$file
    done
    # Stopped in the middle of the second epoch and started again, it ends with the same bits.
    "$bin/example_04_training_loop" parts 3 >out 2>err &
    pid=$!
    wait_for_file parts/metrics.csv
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ "$status" = 130 ] || fail "exit status 130 expected, got $status"
    says "the same command goes on"
    expect 0 example_04_training_loop parts 3
    says "going on at epoch"
    cmp -s whole/checkpoint.safetensors parts/checkpoint.safetensors || fail "the run in two parts ended elsewhere"
    ;;

  custom_op)
    expect 0 example_05_custom_op
    says "cube"
    says "agree with finite differences"
    says "logaddexp: shapes must be equal; got [2] and [3]"
    ;;

  custom_layer)
    expect 0 example_06_custom_layer
    says "1.down"
    says "agree with finite differences"
    says "Centre: expects 8 channels; got [4, 16, 16, 3]"
    ;;

  custom_data_set)
    expect 0 example_07_custom_data_set
    says "256 pictures of 4 classes"
    says "epoch 5"
    says "broken.png: expected a PNG or JPEG picture"
    ;;

  inference_and_files)
    expect 0 example_08_inference_and_files
    says "holds a lecture_cnn_bn for coarse labels"
    says "conv1.weight in the file [32, 3, 3, 3]"
    says "missing: conv1.bias"
    is_png picture.png
    ;;

  gradient_checks)
    expect 0 example_09_gradient_checks
    says "gated_layer, first and second order: right"
    says "wrong_square: caught"
    says "a model: right"
    says "its loss: right"
    ;;

  hessian_vector)
    expect 0 example_10_hessian_vector
    says "largest curvature"
    ;;

  gradient_tests)
    [ -x "$bin/example_11_gradient_tests" ] || exit 77
    expect 0 example_11_gradient_tests
    ;;

  differential_equations)
    expect 0 example_12_differential_equations
    says "u_t = u_xx"
    grep -q '</svg>' equations.svg || fail "equations.svg is incomplete"
    ;;

  learning_to_learn)
    expect 0 example_13_learning_to_learn
    says "learnt weights"
    grep -q '</svg>' learning_to_learn.svg || fail "learning_to_learn.svg is incomplete"
    ;;

  private_gradients)
    expect 0 example_14_private_gradients
    says "cut, with noise"
    ;;

  neural_ode)
    expect 0 example_15_neural_ode
    says "largest distance along the whole way"
    grep -q '</svg>' law_of_motion.svg || fail "law_of_motion.svg is incomplete"
    ;;

  wasserstein)
    expect 0 example_16_wasserstein
    says "wrote ring.svg"
    grep -q '</svg>' ring.svg || fail "ring.svg is incomplete"
    ;;

  curvature)
    expect 0 example_17_curvature
    says "643492 parameters"
    ;;

  flat_minima)
    expect 0 example_18_flat_minima
    says "sharpness-aware"
    ;;

  learning_rate)
    expect 0 example_19_learning_rate
    says "forward mode   -0.032946295"
    says "reverse mode   -0.032946295"
    grep -q '</svg>' learning_rate.svg || fail "learning_rate.svg is incomplete"
    ;;

  characters)
    expect 0 example_20_characters
    says "step 250"
    says "the w"
    grep -q '</svg>' characters.svg || fail "characters.svg is incomplete"
    ;;

  train)
    expect 0 train_cifar100 $small --epochs 2 --out result --summary
    says "643,716 parameters"
    says "Patterns"
    says "    2/2 "
    says "top-5"
    for file in $results; do has result/$file; done
    [ "$(find result -type f | wc -l)" = 7 ] || fail "unexpected files: $(ls -a result)"
    is_png result/wrong_predictions.png
    [ "$(wc -l <result/metrics.csv)" = 3 ] || fail "metrics.csv should have a header and two rows"
    grep -q '</svg>' result/curves.svg || fail "curves.svg is incomplete"
    ;;

  instruction_set)
    export TAPESTRY_INSTRUCTION_SET=portable
    expect 0 train_cifar100 --epochs 1 $small --out portable
    says "portable vectors"
    export TAPESTRY_INSTRUCTION_SET=sse9
    expect 2 train_cifar100 --epochs 1 $small --out unknown
    complains 'TAPESTRY_INSTRUCTION_SET must be one of those that this CPU offers:'
    complains '; got "sse9"'
    ;;

  train_json)
    expect 0 train_cifar100 $small --epochs 2 --model lecture_cnn --labels coarse --json --quiet --out result
    [ "$(wc -l <out)" = 2 ] || fail "one line per epoch expected"
    says '{"epoch": 1, "step": 8, '
    says '{"epoch": 2, "step": 16, '
    [ ! -s err ] || fail "--quiet said something"
    ;;

  train_threads)
    for threads in 1 3; do
      expect 0 train_cifar100 --train-size 256 --test-size 128 --batch 64 --threads $threads --epochs 1 --augment on \
        --out t$threads --quiet
    done
    cmp -s t1/model.safetensors t3/model.safetensors || fail "1 and 3 threads gave different weights"
    cmp -s t1/steps.csv t3/steps.csv || fail "1 and 3 threads gave different losses"
    ;;

  train_precision)
    for how in "--autocast" "--precision medium" "--precision high"; do
      expect 0 train_cifar100 $small --epochs 1 $how --out result
      case $how in
        --autocast) says "autocast to bf16" ;;
        *) says "${how#--precision } precision" ;;
      esac
      has result/model.safetensors
    done
    ;;

  train_models)
    for model in resnet20 resnet18 vgg16_bn; do
      expect 0 train_cifar100 --model $model --train-size 32 --test-size 16 --batch 16 --epochs 1 --optimizer adamw \
        --schedule cosine --out $model
      says "$model"
    done
    expect 0 train_cifar100 --recipe a --model resnet20 --train-size 64 --test-size 16 --batch 32 --epochs 1 --out a
    says "cosine over 200 epochs"
    ;;

  train_resume)
    expect 0 train_cifar100 $small --epochs 2 --schedule constant --out whole
    expect 0 train_cifar100 $small --epochs 1 --schedule constant --out first
    expect 0 train_cifar100 $small --epochs 2 --schedule constant --out second --resume first/checkpoint.safetensors
    says "going on after epoch 1"
    says "    2/2 "
    cmp -s whole/steps.csv second/steps.csv || fail "the resumed run took other steps than the whole one"
    cmp -s whole/model.safetensors second/model.safetensors || fail "the resumed run ended elsewhere than the whole one"
    same_epochs whole second
    # The command that a run ends with works as it stands: what it leaves open comes from the checkpoint.
    says "To go on from here"
    expect 0 train_cifar100 $small --epochs 1 --model lecture_cnn --labels coarse --seed 7 --quiet --out "a run"
    expect 0 train_cifar100 --resume "a run/checkpoint.safetensors" --epochs 2
    says "model    lecture_cnn, "
    says "coarse labels"
    says "seed 7"
    says "results  a run"
    says "    2/2 "
    expect 0 sh -c "$(sed -n '/To go on from here/{n;p;}' out)"
    says "    4/4 "
    [ "$(wc -l <"a run/metrics.csv")" = 5 ] || fail "metrics.csv should have a row per epoch of all three runs"
    # From weights alone it goes on too, with momentum anew.
    expect 0 train_cifar100 $small --epochs 2 --schedule constant --out third --resume first/model.safetensors
    says "going on after epoch 1"
    refuses 1 "seed: 1 there, 5 here" $small --epochs 2 --seed 5 --out no --resume first/checkpoint.safetensors
    refuses 1 "model: lecture_cnn_bn there, resnet20 here" $small --model resnet20 --out no --resume first/model.safetensors
    refuses 1 "after epoch 2; --epochs 1 asks for fewer" $small --epochs 1 --out no --resume second/checkpoint.safetensors
    # What is finished prints its results again, and writes them: a kill may have come before it did.
    rm second/metrics.csv second/wrong_predictions.png second/curves.svg
    expect 0 train_cifar100 $small --epochs 2 --schedule constant --resume second/checkpoint.safetensors
    says "Test accuracy after 2 epochs"
    says "    2/2 "
    for file in $results; do has second/$file; done
    same_epochs whole second
    expect 0 train_cifar100 --json --quiet --resume second/checkpoint.safetensors
    says '{"epoch": 2, "step": 16, '
    # Another rate and the like are refused, all in one error, unless they are asked for.
    cp -r first again
    refuses 1 "lr: 0.2 there, 0.01 here" $small --epochs 2 --lr 0.01 --momentum 0.5 --weight-decay 0 \
      --label-smoothing 0.1 --schedule cosine --out no --resume first/checkpoint.safetensors
    for text in "momentum: 0.9 there, 0.5 here" "weight-decay: 0.0005 there, 0 here" "label-smoothing: 0 there, 0.1 here" \
      "schedule: constant there, cosine here"; do complains "$text"; done
    expect 0 train_cifar100 $small --epochs 2 --lr 0.01 --momentum 0.5 --weight-decay 0 --label-smoothing 0.1 \
      --schedule cosine --change --resume again/checkpoint.safetensors
    says "rate 0.01, cosine"
    [ "$(awk -F , '$2 == 9 { print ($3 <= 0.01) }' again/steps.csv)" = 1 ] || fail "not the new rate: $(cat again/steps.csv)"
    refuses 2 "--change is for --resume" --change --out no
    refuses 1 "missing.safetensors" $small --out no --resume missing.safetensors
    head -c 1000 first/checkpoint.safetensors >cut.safetensors
    refuses 1 "cut.safetensors" $small --out no --resume cut.safetensors
    ;;

  train_interrupt)
    # Interrupted somewhere, and gone on with by the command that is printed, a run ends where the whole one does.
    expect 0 train_cifar100 $small --epochs 6 --quiet --out whole
    "$bin/train_cifar100" $small --epochs 6 --out result >out 2>err &
    pid=$!
    wait_for_file result/model.safetensors
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ "$status" = 130 ] || fail "exit status 130 expected, got $status"
    says "--resume result/checkpoint.safetensors"
    for file in $results; do has result/$file; done
    [ "$(find result -type f | wc -l)" = 7 ] || fail "unexpected files: $(ls -a result)"
    expect 0 sh -c "$(sed -n '/^Go on with:/{n;p;}' out)"
    says "going on after epoch"
    says "    6/6 "
    cmp -s whole/model.safetensors result/model.safetensors || fail "the interrupted run ended elsewhere"
    cmp -s whole/steps.csv result/steps.csv || fail "the interrupted run took other steps"
    same_epochs whole result
    ;;

  train_kill)
    # Killed again and again, mid-epoch saves and all, a run ends where the whole one does and leaves no temporaries.
    expect 0 train_cifar100 $small --epochs 3 --quiet --out whole
    "$bin/train_cifar100" $small --epochs 3 --quiet --save-minutes 0.0001 --out result >out 2>err &
    pid=$!
    kills=0
    while [ $kills -lt 4 ]; do
      tries=0
      before=$(cat result/steps.csv 2>/dev/null | wc -l)
      until [ "$(cat result/steps.csv 2>/dev/null | wc -l)" -gt "$before" ] || ! kill -0 $pid 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { kill -9 $pid; fail "no save after two minutes"; }
        sleep 0.05
      done
      kill -9 $pid 2>/dev/null
      wait $pid
      : >result/.tapestry-1-1.tmp
      kills=$((kills + 1))
      "$bin/train_cifar100" --resume result/checkpoint.safetensors --quiet --save-minutes 0.0001 >out 2>err &
      pid=$!
    done
    status=0
    wait $pid || status=$?
    [ "$status" = 0 ] || fail "exit status 0 expected, got $status"
    [ "$(find result -type f | wc -l)" = 7 ] || fail "unexpected files: $(ls -a result)"
    cmp -s whole/model.safetensors result/model.safetensors || fail "the killed run ended elsewhere"
    cmp -s whole/steps.csv result/steps.csv || fail "the killed run took other steps"
    same_epochs whole result
    ;;

  train_trouble)
    # The terminal goes, signals bounce, the folder is removed: nothing is lost.
    for signals in "HUP" "TERM" "INT INT INT"; do
      rm -rf result
      "$bin/train_cifar100" $small --epochs 60 --quiet --save-minutes 0.0001 --out result >out 2>err &
      pid=$!
      wait_for_file result/steps.csv
      [ "$signals" != TERM ] || rm -rf result
      for signal in $signals; do kill -$signal $pid; done
      status=0
      wait $pid || status=$?
      case $signals in HUP) wanted=129 ;; TERM) wanted=143 ;; *) wanted=130 ;; esac
      [ "$status" = $wanted ] || fail "exit status $wanted expected after $signals, got $status"
      complains "stopping after this step"
      for file in checkpoint.safetensors metrics.csv wrong_predictions.png; do [ -e result/$file ] || fail "no $file after $signals"; done
    done
    # Output that nobody takes ends no training.
    tiny="--epochs 1 --train-size 64 --test-size 16 --batch 32"
    status=0
    "$bin/train_cifar100" $tiny --out full --json 2>/dev/full >out || status=$?
    [ "$status" = 0 ] || fail "status 0 expected where standard error is full, got $status"
    says '{"epoch": 1, '
    rm -rf full
    "$bin/train_cifar100" $tiny --out full 2>&- >out </dev/null || fail "a closed standard error ended it"
    has full/model.safetensors
    rm -rf full
    for stream in full closed pipe; do
      status=0
      case $stream in
        full) "$bin/train_cifar100" $tiny --out full >/dev/full 2>err || status=$? ;;
        closed) "$bin/train_cifar100" $tiny --out full >&- 2>err <&- || status=$? ;;
        pipe) { "$bin/train_cifar100" $tiny --out full 2>err; echo $? >status; } | true; status=$(cat status) ;;
      esac
      [ "$status" = 1 ] || fail "status 1 expected where standard output is $stream, got $status"
      complains "could not be written"
      has full/model.safetensors
      rm -rf full
    done
    "$bin/train_cifar100" --bogus 2>&- >&- <&-
    [ $? = 2 ] || fail "status 2 expected for a wrong flag with every stream closed"
    ;;

  bad_flags)
    refuses 2 "unknown flag '--epoch'; did you mean --epochs?" --epoch 3
    refuses 2 "unknown flag '--zzz'; --help lists all flags" --zzz
    refuses 2 "--epochs expects a whole number from 1 to 100000; got '0'" --epochs 0
    refuses 2 "got '-1'" --epochs=-1
    refuses 2 "got '3.5'" --epochs 3.5
    refuses 2 "--lr expects a number above 0 and at most 100; got '0.1x'" --lr 0.1x
    refuses 2 "got '1e999'" --lr 1e999
    refuses 2 "got 'nan'" --lr nan
    refuses 2 "got ''" --lr ""
    refuses 2 "got '0'" --lr 0
    refuses 2 "--momentum expects a number of at least 0 and below 1; got '1'" --momentum 1
    refuses 2 "--batch expects a whole number from 1 to" --batch 0
    refuses 2 "--threads expects a whole number from 1 to 1024; got '1000000000'" --threads 1000000000
    refuses 2 "--lr is given twice" --lr 0.1 --lr 0.2
    refuses 2 "--epochs: 1 required N missing" --epochs
    refuses 2 "got '--quiet'" --epochs --quiet
    refuses 2 "quiet was given a disallowed flag override" --quiet=yes
    refuses 2 "unexpected argument 'resnet20'" resnet20
    refuses 2 "--schedule expects one of linear, cosine, step, constant; got 'cosin'" --schedule cosin
    refuses 2 "lecture_cnn_bn, lecture_vgg" --model resnet21
    refuses 2 "--train-size is for the embedded data set" --data . --train-size 100
    refuses 2 "--precision expects one of highest, high, medium; got 'low'" --precision low
    refuses 2 "got both --autocast and --precision medium" --autocast --precision medium
    refuses 2 "--momentum is for --optimizer sgd" --optimizer adamw --momentum 0.9
    refuses 2 "--schedule-epochs must be at least --epochs, 5; got 3" --epochs 5 --schedule-epochs 3
    refuses 2 "--warmup must be shorter" --epochs 5 --warmup 6
    expect 0 train_cifar100 --help
    for text in "Data:" "Model and training:" "Output:" "--label-smoothing S" "lecture_cnn_bn)"; do says "$text"; done
    [ "$(wc -L <out)" -le 100 ] || fail "--help has a line longer than 100 columns"
    expect 0 train_cifar100 --zzz -h
    # Output that cannot be written is an error, and never more than that.
    if [ -e /dev/full ]; then
      for stream in full closed; do
        status=0
        if [ $stream = full ]; then
          "$bin/train_cifar100" --zzz 2>/dev/full || status=$?
        else
          "$bin/train_cifar100" --zzz 2>&- || status=$?
        fi
        [ "$status" = 2 ] || fail "status 2 expected where standard error is $stream, got $status"
      done
      status=0
      "$bin/train_cifar100" --help >/dev/full 2>err || status=$?
      [ "$status" = 1 ] || fail "status 1 expected where standard output is full, got $status"
      complains "could not be written"
      status=0
      "$bin/train_cifar100" --epochs 1 --train-size 64 --test-size 16 --batch 32 --out full >/dev/full 2>err || status=$?
      [ "$status" = 1 ] || fail "status 1 expected where standard output is full, got $status"
      has full/model.safetensors
      rm -r full
    fi
    # Numbers read the same where people write a comma.
    LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 expect 2 train_cifar100 --lr 0,1
    complains "got '0,1'"
    ;;

  bad_input)
    refuses 1 "missing_folder" --data missing_folder --out result
    mkdir -p short/cifar-100-binary
    seq 100 | sed 's/^/class_/' >short/cifar-100-binary/fine_label_names.txt
    seq 20 | sed 's/^/group_/' >short/cifar-100-binary/coarse_label_names.txt
    head -c 3074000 /dev/zero >short/cifar-100-binary/train.bin
    head -c 30740000 /dev/zero >short/cifar-100-binary/test.bin
    refuses 1 "3074000" --data short --out result
    head -c 3073999 /dev/zero >short/cifar-100-binary/train.bin
    refuses 1 "3073999" --data short --out result
    refuses 1 "the loss is not a number" $small --quiet --model lecture_cnn --lr 100 --schedule constant --epochs 3 --out result
    complains "a lower --lr than 100"
    : >file
    refuses 1 "cannot make the output folder file/result" $small --out file/result
    refuses 1 "cannot make the output folder file" $small --out file
    if [ "$(id -u)" != 0 ]; then
      mkdir locked
      chmod a-w locked
      refuses 1 "cannot write into the output folder locked" $small --out locked
    fi
    ;;

  *)
    fail "no such case: $case"
    ;;
esac
