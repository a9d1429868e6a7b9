"""A certificate that is saved can be decided again without the package that found it."""

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import momlp
from theory.proofs import CHECKER, checker

F = momlp.LipschitzFunction.from_sympy("sin(2*pi*x0)", n=1)


def certified(f=F, eps=0.2, **options):
    model = momlp.build_momlp(f, eps=eps, **options)
    return model, momlp.certify_uniform_error(model, f, eps=eps)


def decided(path):
    return subprocess.run([sys.executable, "-I", str(CHECKER), str(path)], capture_output=True, text=True)


def test_a_saved_certificate_is_decided_again(tmp_path):
    _, certificate = certified()
    path = certificate.save(tmp_path / "wave.proof")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wave.proof", "wave.safetensors"]
    done = decided(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert momlp.load(tmp_path / "wave.safetensors").plan.eps == 0.2


def test_the_proof_of_a_moved_model_is_refused(tmp_path):
    model, certificate = certified()
    path = certificate.save(tmp_path / "wave.proof")
    with torch.no_grad():
        model.output_bias.add_(0.5) if hasattr(model, "output_bias") else next(iter(model.parameters())).add_(0.5)
    momlp.save(model, tmp_path / "wave.safetensors")
    assert decided(path).returncode != 0


def test_what_cannot_be_saved_says_why(tmp_path):
    model, certificate = certified()
    with pytest.raises(ValueError, match="`save` needs the certificate as `certify_uniform_error` returned it"):
        replace(certificate, lower=0.0).save(tmp_path / "a.proof")
    with pytest.raises(ValueError, match=r"`path` must not end in \.safetensors"):
        certificate.save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="got a changed copy"):
        pickle.loads(pickle.dumps(certificate)).save(tmp_path / "a.proof")
    open_one = momlp.certify_uniform_error(model, F, eps=1e-6)
    with pytest.raises(ValueError, match="CERTIFIED for an eps, got REFUTED"):
        open_one.save(tmp_path / "a.proof")
    with pytest.raises(ValueError, match="CERTIFIED for an eps"):
        momlp.certify_uniform_error(model, F, gap=0.5).save(tmp_path / "a.proof")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="`path`"):
        certificate.save(5)


def test_the_checker_is_the_one_beside_this_package():
    assert checker().__file__ == str(CHECKER)
