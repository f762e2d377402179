"""The names of the sensitive information types that come with casb, by category.

Names only, for those who must know them and nothing more; what they are stands in `inspection/info_types/data`. A test
holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

CATEGORIES: Mapping[str, str] = {
    "financial": "payment cards, bank accounts, bank codes",
    "identity": "numbers that states give to people and companies",
    "health": "numbers and words of health care",
    "secret": "keys, tokens and passwords",
    "personal": "contact data and other data of persons",
    "crypto": "addresses and keys of crypto currencies",
}
"""A category stands for all types in it: it can be written wherever a type can."""

MEMBERS: Mapping[str, tuple[str, ...]] = {
    category: tuple(names.split())
    for category, names in {
        "financial": """
            au-bank-account ca-bank-account credit-card credit-card-track cz-bank-account de-bank-account
            gb-bank-account iban in-ifsc isin jp-bank-account lei no-bank-account nz-bank-account swift-bic
            us-aba-routing us-bank-account
        """,
        "identity": """
            ae-emirates-id ar-cuit at-svnr at-tin au-abn au-passport au-tfn be-nn bg-egn br-cnpj br-cpf by-unp
            ca-passport ca-sin ch-ahv cl-rut cn-resident-id cn-uscc co-nit cz-rc de-driver-licence
            de-identity-card de-passport de-pension de-tax-id dk-cpr ec-ci ee-isikukood eg-national-id es-cif
            es-dni es-nie eu-vat fi-hetu fr-nif fr-nir fr-passport gb-driver-licence gb-nino gb-passport gb-utr
            gr-afm gr-amka hk-id hr-oib hu-vat id-nik id-npwp ie-pps il-id in-aadhaar in-gstin in-pan
            in-passport is-kennitala it-codice-fiscale it-partita-iva jp-corporate-number jp-my-number kr-brn
            kr-rrn lt-asmens-kodas lu-matricule lv-personas-kods mx-curp mx-rfc my-nric nl-bsn no-fodselsnummer
            nz-ird pe-ruc pk-cnic pl-nip pl-pesel pt-cc pt-nif ro-cnp rs-pib ru-inn ru-snils sa-national-id
            se-personnummer sg-nric si-emso sk-rc th-pin tr-tckn tw-id ua-rntrc us-california-id
            us-driver-licence us-ein us-itin us-passport us-ssn uy-rut ve-rif vn-mst za-id
        """,
        "health": """
            au-medicare ca-health-bc ca-health-ontario de-health-insurance fr-rpps gb-nhs-number icd-code
            medical-record-number nl-health-agb phi-record us-dea-number us-hicn us-medicare-mbi us-ndc us-npi
        """,
        "secret": """
            1password-token adyen-api-key age-secret-key airtable-token anthropic-key artifactory-token
            aws-access-key-id aws-bedrock-key aws-secret-access-key azure-client-secret azure-devops-token
            azure-sas-token azure-service-bus-key azure-storage-key basic-auth-header bearer-header
            bitbucket-token box-token cloudflare-token connection-string-password database-url databricks-token
            datadog-key digitalocean-token discord-token discord-webhook docker-token doppler-token
            dropbox-token easypost-key facebook-token figma-token fly-token gcp-api-key gcp-oauth-client-secret
            gcp-oauth-token gcp-service-account-key github-fine-grained-token github-token gitlab-token
            grafana-token groq-key hashicorp-token heroku-token hubspot-token huggingface-token jwt linear-key
            mailchimp-key mailgun-key netlify-token new-relic-key notion-token npm-token nuget-key okta-token
            openai-key password-assignment paypal-braintree-token perplexity-key planetscale-token postman-key
            private-key pulumi-token pypi-token replicate-token rubygems-token salesforce-token sendgrid-key
            sentry-token shopify-token slack-token slack-webhook sonarqube-token square-token stripe-key
            supabase-key tailscale-key teams-webhook telegram-bot-token twilio-key unix-password-hash
            url-password vercel-token x-bearer-token
        """,
        "personal": """
            date-of-birth email-address geo-coordinates imei imsi ip-address ipv6-address mac-address
            passport-mrz phone-number street-address us-zip-address vin
        """,
        "crypto": """
            bitcoin-address bitcoin-private-key cardano-address dogecoin-address ethereum-address
            ethereum-private-key litecoin-address ripple-address seed-phrase tron-address
        """,
    }.items()
}
"""The types of each category."""
