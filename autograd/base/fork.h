#pragma once

/// fork(2) gives the child the thread that called it and no other: what another thread held or was about to do stays so
/// for ever. Whoever keeps a mutex for the whole process names it here.
namespace tapestry::detail {

/// The same for a mutex of any type; see below.
void hold_during_fork(void* mutex, void (*lock)(void*), void (*unlock)(void*));

/// `mutex` is locked before every fork from now on and unlocked on both sides of it: in the child nobody holds it. It
/// must live as long as the process, and no holder of one named later may ask for one named earlier.
template <class Mutex>
void hold_during_fork(Mutex& mutex) {
  hold_during_fork(
      &mutex, [](void* m) { static_cast<Mutex*>(m)->lock(); }, [](void* m) { static_cast<Mutex*>(m)->unlock(); });
}

/// `tidy_up` is called in every child, by its only thread, before fork returns there.
void after_fork_in_child(void (*tidy_up)() noexcept);

}  // namespace tapestry::detail
