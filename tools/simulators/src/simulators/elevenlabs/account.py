"""The resources of an ElevenLabs account (voices, models, user), with the fields that its API document requires."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_MULTILINGUAL_CODES = "ar bg cs da de el en es fi fil fr hi hr id it ja ko ms nl pl pt ro ru sk sv ta tr uk zh"
_MULTILINGUAL_V2 = frozenset(_MULTILINGUAL_CODES.split())
_V2_5 = _MULTILINGUAL_V2 | {"hu", "no", "vi"}
LANGUAGES_OF_MODEL = {
    "eleven_flash_v2_5": _V2_5,
    "eleven_turbo_v2_5": _V2_5,
    "eleven_v3": _V2_5,
    "eleven_multilingual_v2": _MULTILINGUAL_V2,
    "eleven_flash_v2": frozenset({"en"}),
    "eleven_turbo_v2": frozenset({"en"}),
}
MODELS_WITHOUT_SOCKETS = frozenset({"eleven_v3"})
_VOICES = {
    "21m00Tcm4TlvDq8ikWAM": "Rachel",
    "EXAVITQu4vr4xnSDxMaL": "Sarah",
    "JBFqnCBsd6RMkjVDRZzb": "George",
}


async def voices(_: Request) -> Response:
    """`GET /v1/voices`. Other voice ids are also accepted for synthesis."""
    resources = [
        {
            "voice_id": voice_id,
            "name": name,
            "category": "premade",
            "labels": {},
            "available_for_tiers": [],
            "high_quality_base_model_ids": ["eleven_multilingual_v2", "eleven_flash_v2_5"],
        }
        for voice_id, name in _VOICES.items()
    ]
    return JSONResponse({"voices": resources})


async def models(_: Request) -> Response:
    """`GET /v1/models`."""
    return JSONResponse([_model(model_id, languages) for model_id, languages in LANGUAGES_OF_MODEL.items()])


def _model(model_id: str, languages: frozenset[str]) -> dict[str, object]:
    return {
        "model_id": model_id,
        "name": model_id.replace("_", " ").title(),
        "can_be_finetuned": False,
        "can_do_text_to_speech": True,
        "can_do_voice_conversion": False,
        "can_use_style": False,
        "can_use_speaker_boost": True,
        "serves_pro_voices": False,
        "token_cost_factor": 1.0,
        "description": "A simulated model.",
        "requires_alpha_access": False,
        "max_characters_request_free_user": 2500,
        "max_characters_request_subscribed_user": 10000,
        "maximum_text_length_per_request": 40000,
        "languages": [{"language_id": code, "name": code} for code in sorted(languages)],
        "model_rates": {"character_cost_multiplier": 1.0},
        "concurrency_group": "turbo" if "turbo" in model_id or "flash" in model_id else "standard",
    }


async def user(_: Request) -> Response:
    """`GET /v1/user`."""
    subscription = {
        "tier": "creator",
        "character_count": 0,
        "character_limit": 100000,
        "can_extend_character_limit": False,
        "allowed_to_extend_character_limit": False,
        "voice_slots_used": 0,
        "professional_voice_slots_used": 0,
        "voice_limit": 30,
        "voice_add_edit_counter": 0,
        "professional_voice_limit": 1,
        "can_extend_voice_limit": False,
        "can_use_instant_voice_cloning": True,
        "can_use_professional_voice_cloning": True,
        "max_character_limit_extension": None,
        "status": "active",
    }
    answer = {
        "user_id": "simulated-user",
        "subscription": subscription,
        "is_new_user": False,
        "can_use_delayed_payment_methods": False,
        "is_onboarding_completed": True,
        "is_onboarding_checklist_completed": True,
        "created_at": 1735689600,
    }
    return JSONResponse(answer)
